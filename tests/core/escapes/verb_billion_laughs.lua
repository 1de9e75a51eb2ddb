-- SPDX-License-Identifier: Apache-2.0
-- tries: a small table that is billions when written out
-- known from: XML: billion laughs
-- expect: error too large
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = { "ha" }
    for _ = 1, 12 do t = { t, t, t, t, t, t, t, t, t, t } end
    call:say(t)
  end,
}
