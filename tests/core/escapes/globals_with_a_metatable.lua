-- SPDX-License-Identifier: Apache-2.0
-- tries: catch every read and write of a global
-- known from: own
-- expect: ok {got=sought}
-- states: a
local flow = require "flow"
setmetatable(_G, { __index = function(_, name) return "sought" end, __newindex = function() while true do end end })
return flow.define { start = "a", a = function(call) call.data.got = not_there end }
