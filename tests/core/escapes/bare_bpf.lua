-- SPDX-License-Identifier: Apache-2.0
-- tries: load a program into the kernel
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
long syscall(long number, ...);
]]
ffi.C.syscall(321, ffi.cast("long", 0), nil, ffi.cast("long", 0))
return "escaped"
