-- SPDX-License-Identifier: Apache-2.0
-- tries: mount a file system
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int mount(const char *from, const char *to, const char *type, unsigned long flags, const void *data);
int *__errno_location(void);
]]
ffi.C.mount("none", "/not/there", "tmpfs", 0, nil)
if ffi.C.__errno_location()[0] == 2 or ffi.C.__errno_location()[0] == 1 then return "escaped" end
