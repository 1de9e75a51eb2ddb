-- SPDX-License-Identifier: Apache-2.0
-- tries: ask the kernel past the filter, by io_uring
-- known from: seccomp and io_uring
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
long syscall(long number, ...);
int *__errno_location(void);
]]
ffi.C.syscall(425, ffi.cast("long", 0), nil)
return "escaped"
