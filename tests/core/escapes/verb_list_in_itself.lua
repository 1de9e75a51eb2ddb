-- SPDX-License-Identifier: Apache-2.0
-- tries: send a list that holds itself many times
-- known from: own
-- expect: error 
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = {}
    for i = 1, 100 do t[i] = t end
    call:say(t)
  end,
}
