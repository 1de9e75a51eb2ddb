-- SPDX-License-Identifier: Apache-2.0
-- tries: read another process's memory
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
struct iov { void *at; size_t len; };
long process_vm_readv(int pid, const struct iov *to, unsigned long n, const struct iov *from, unsigned long m, unsigned long flags);
int *__errno_location(void);
]]
local n = ffi.C.process_vm_readv(0x7ffffff0, nil, 0, nil, 0, 0)
if n == 0 or ffi.C.__errno_location()[0] == 3 then return "escaped" end
