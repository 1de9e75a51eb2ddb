-- SPDX-License-Identifier: Apache-2.0
-- tries: make a file in memory to run
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int memfd_create(const char *name, unsigned int flags);
]]
if ffi.C.memfd_create("x", 0) >= 0 then return "escaped" end
