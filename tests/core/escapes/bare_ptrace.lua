-- SPDX-License-Identifier: Apache-2.0
-- tries: trace another process
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
long ptrace(int request, int pid, void *address, void *data);
int *__errno_location(void);
]]
ffi.C.ptrace(16, 0x7ffffff0, nil, nil)
if ffi.C.__errno_location()[0] == 3 then return "escaped" end -- the kernel looked for it
