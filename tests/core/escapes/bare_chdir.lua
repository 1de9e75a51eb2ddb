-- SPDX-License-Identifier: Apache-2.0
-- tries: leave its empty root
-- known from: chroot escapes
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int chroot(const char *path);
int chdir(const char *path);
]]
if ffi.C.chdir("/") == 0 then return "escaped" end
