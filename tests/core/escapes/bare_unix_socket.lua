-- SPDX-License-Identifier: Apache-2.0
-- tries: open a local socket, as to a database on this host
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int socket(int domain, int type, int protocol);
int close(int fd);
]]
local fd = ffi.C.socket(1, 1, 0)
if fd >= 0 then ffi.C.close(fd) return "escaped" end
