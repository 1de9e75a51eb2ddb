-- SPDX-License-Identifier: Apache-2.0
-- tries: set a filter of its own
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int prctl(int what, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
]]
if ffi.C.prctl(38, 1, 0, 0, 0) == 0 then return "escaped" end
