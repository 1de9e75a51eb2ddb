-- SPDX-License-Identifier: Apache-2.0
-- tries: make itself a world in which it is root
-- known from: user namespaces as a way to the kernel
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int unshare(int flags);
]]
ffi.C.unshare(0x04000000)
return "escaped" -- the kernel was asked
