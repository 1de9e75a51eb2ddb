-- SPDX-License-Identifier: Apache-2.0
-- tries: send a table 1,000 deep
-- known from: own
-- expect: error deeper than
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = {}
    for _ = 1, 1000 do t = { t } end
    call:say(t)
  end,
}
