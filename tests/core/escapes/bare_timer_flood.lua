-- SPDX-License-Identifier: Apache-2.0
-- tries: make timers without end
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int timer_create(int clock, void *event, void **timer);
]]
if ffi.C.timer_create(1, nil, ffi.new("void *[1]")) == 0 then return "escaped" end
