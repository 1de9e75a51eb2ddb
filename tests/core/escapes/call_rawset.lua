-- SPDX-License-Identifier: Apache-2.0
-- tries: rawset on the call, to fool the library
-- known from: Starfall#321
-- expect: ok {mine=1}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    rawset(call, "data", { mine = 2 })
    rawset(call, "say", function() end)
    rawset(call, "id", "c2")
    rawset(call, 1, 2)
    call:say "not sent"
    rawset(call, "data", nil)
    call.data.mine = 1
  end,
}
