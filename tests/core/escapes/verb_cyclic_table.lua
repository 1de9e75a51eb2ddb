-- SPDX-License-Identifier: Apache-2.0
-- tries: send a table that holds itself
-- known from: own
-- expect: error deeper than 16
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = {}
    t.t = t
    call:say(t)
  end,
}
