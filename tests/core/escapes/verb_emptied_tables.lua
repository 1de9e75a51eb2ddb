-- SPDX-License-Identifier: Apache-2.0
-- tries: send a table of 400,000 empty slots, twenty thousand times over
-- known from: own
-- expect: error 
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local empty, list = {}, {}
    for i = 1, 400000 do empty[i + 0.5] = true end
    for i = 1, 400000 do empty[i + 0.5] = nil end
    for i = 1, 20000 do list[i] = empty end
    call:say(list)
  end,
}
