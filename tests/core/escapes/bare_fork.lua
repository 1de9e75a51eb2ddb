-- SPDX-License-Identifier: Apache-2.0
-- tries: make a process that outlives the cell
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int fork(void);
void _exit(int status);
]]
local pid = ffi.C.fork()
if pid == 0 then ffi.C._exit(0) end
if pid > 0 then return "escaped" end
