-- SPDX-License-Identifier: Apache-2.0
-- tries: use the numbers of another architecture that a filter may forget
-- known from: seccomp: the x32 bit
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
long syscall(long number, ...);
]]
ffi.C.syscall(0x40000000 + 39)
return "escaped"
