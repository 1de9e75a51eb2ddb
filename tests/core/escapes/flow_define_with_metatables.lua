-- SPDX-License-Identifier: Apache-2.0
-- tries: a specification whose metamethods run for ever or lie
-- known from: own
-- expect: error start must name a state
local flow = require "flow"
flow.define(setmetatable({}, { __index = function() return 5 end, __pairs = function() while true do end end, __len = function() return 1e9 end }))
