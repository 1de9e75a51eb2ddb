-- SPDX-License-Identifier: Apache-2.0
-- tries: keep a verb in a global and call it with the call of the next visit
-- known from: own
-- expect: ok {heard=x}
-- states: a b
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    say = call.ask
  end,
  b = function(call)
    call.data.heard = say(call, "x")
  end,
}
