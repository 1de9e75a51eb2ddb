-- SPDX-License-Identifier: Apache-2.0
-- tries: start a thread that no budget counts
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int pthread_create(unsigned long *thread, const void *attr, void *(*start)(void *), void *arg);
unsigned int sleep(unsigned int s);
]]
local t = ffi.new("unsigned long[1]")
if ffi.C.pthread_create(t, nil, ffi.cast("void *(*)(void *)", ffi.C.sleep), nil) == 0 then return "escaped" end
