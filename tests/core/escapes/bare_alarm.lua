-- SPDX-License-Identifier: Apache-2.0
-- tries: take the timer signal away from the slices
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: lean
local ffi = require "ffi"
ffi.cdef [[
void *signal(int number, void *handler);
]]
ffi.C.signal(14, ffi.cast("void *", 1))
return "escaped"
