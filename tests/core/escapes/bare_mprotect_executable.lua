-- SPDX-License-Identifier: Apache-2.0
-- tries: make its own memory executable
-- known from: LuaJIT's own machine code
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
void *mmap(void *address, size_t len, int rights, int flags, int fd, long offset);
int mprotect(void *address, size_t len, int rights);
]]
local p = ffi.C.mmap(nil, 4096, 3, 0x22, -1, 0)
if ffi.C.mprotect(p, 4096, 5) == 0 then return "escaped" end
