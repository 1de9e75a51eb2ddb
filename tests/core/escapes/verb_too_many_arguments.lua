-- SPDX-License-Identifier: Apache-2.0
-- tries: send 65 and 3,000 arguments
-- known from: own
-- expect: error more than 64 arguments
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local list = {}
    for i = 1, 3000 do list[i] = i end
    assert(not pcall(call.say, call, unpack(list)))
    call:say(unpack(list, 1, 65))
  end,
}
