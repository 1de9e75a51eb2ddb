-- SPDX-License-Identifier: Apache-2.0
-- tries: require ffi and call the C library
-- known from: LuaJIT
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"

ffi.cdef "int system(const char *command);"
if ffi.C.system("true") == 0 then return "escaped" end
