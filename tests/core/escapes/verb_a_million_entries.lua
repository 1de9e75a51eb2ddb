-- SPDX-License-Identifier: Apache-2.0
-- tries: send a million entries
-- known from: own
-- expect: error too large
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = {}
    for i = 1, 1e6 do t[i] = i end
    call:say(t)
  end,
}
