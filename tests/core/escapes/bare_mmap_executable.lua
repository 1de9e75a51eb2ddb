-- SPDX-License-Identifier: Apache-2.0
-- tries: map memory that is executable
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
void *mmap(void *address, size_t len, int rights, int flags, int fd, long offset);
]]
local p = ffi.C.mmap(nil, 4096, 7, 0x22, -1, 0)
if ffi.cast("intptr_t", p) ~= -1 then return "escaped" end
