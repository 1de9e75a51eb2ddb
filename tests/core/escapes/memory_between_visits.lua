-- SPDX-License-Identifier: Apache-2.0
-- tries: hoard in a file's variables until nobody else has memory
-- known from: own
-- expect: memory
-- states: a
local flow = require "flow"
local kept = {}
return flow.define { start = "a", a = function() while true do kept[#kept + 1] = ("x"):rep(1000) .. #kept end end }
