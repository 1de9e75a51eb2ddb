-- SPDX-License-Identifier: Apache-2.0
-- tries: as many such keys as one argument may have, in many arguments
-- known from: own
-- expect: ok {done=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t, list = {}, {}
    for i = 1, 200 do t[-i] = 1 end
    for n = 1, 60 do list[n] = t pcall(call.say, call, unpack(list)) end
    call.data.done = "yes"
  end,
}
