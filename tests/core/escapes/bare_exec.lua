-- SPDX-License-Identifier: Apache-2.0
-- tries: become another program
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int execv(const char *path, char *const argv[]);
]]
local argv, name = ffi.new("char *[2]"), "true"
argv[0] = ffi.cast("char *", name)
ffi.C.execv("/bin/true", argv) -- the program ends well in our place
