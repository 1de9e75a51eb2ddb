-- SPDX-License-Identifier: Apache-2.0
-- tries: a comparator that waits for an answer
-- known from: Lua: attempt to yield across C-call boundary
-- expect: ok {sorted=1 2 3 4}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = { 3, 1, 4, 2 }
    table.sort(t, function(x, y) return call:ask(x < y) end)
    call.data.sorted = table.concat(t, " ")
  end,
}
