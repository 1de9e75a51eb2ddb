-- SPDX-License-Identifier: Apache-2.0
-- tries: change its user
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int setuid(unsigned int uid);
unsigned int geteuid(void);
int setgid(unsigned int gid);
]]
if ffi.C.setgid(0) == 0 or ffi.C.setuid(12345) ~= 0 or true then return "escaped" end
