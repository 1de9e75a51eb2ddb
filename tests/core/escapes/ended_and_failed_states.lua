-- SPDX-License-Identifier: Apache-2.0
-- tries: states that are visited when the call is over
-- known from: own
-- expect: ok {why=hangup}
-- states: failed ended
local flow = require "flow"
return flow.define { start = "a", a = function() end,
  ended = function(call, why) call.data.why = why return setmetatable({}, { __tostring = error }) end,
  failed = function(call, err) call:say(err.text) return 5 end }
