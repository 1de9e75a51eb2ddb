-- SPDX-License-Identifier: Apache-2.0
-- tries: send its parent a signal
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int kill(int pid, int signal);
int getppid(void);
]]
if ffi.C.kill(ffi.C.getppid(), 0) == 0 then return "escaped" end
