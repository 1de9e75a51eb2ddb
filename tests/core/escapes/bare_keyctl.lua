-- SPDX-License-Identifier: Apache-2.0
-- tries: use the kernel's key rings, which namespaces do not split
-- known from: container escapes by key rings
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
long syscall(long number, ...);
]]
ffi.C.syscall(250, ffi.cast("long", 0), ffi.cast("long", -3), ffi.cast("long", 0))
return "escaped"
