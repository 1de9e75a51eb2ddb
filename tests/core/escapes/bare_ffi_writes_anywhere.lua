-- SPDX-License-Identifier: Apache-2.0
-- tries: write to any address
-- known from: LuaJIT's ffi
-- expect: error the bundle has no file ffi.lua
local ffi = require "ffi"

ffi.cast("char *", 16)[0] = 1
