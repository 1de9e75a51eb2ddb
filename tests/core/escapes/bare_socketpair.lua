-- SPDX-License-Identifier: Apache-2.0
-- tries: make a pair of sockets to talk with another cell
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int socketpair(int domain, int type, int protocol, int fds[2]);
]]
if ffi.C.socketpair(1, 1, 0, ffi.new("int[2]")) == 0 then return "escaped" end
