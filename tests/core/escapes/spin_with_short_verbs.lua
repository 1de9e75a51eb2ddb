-- SPDX-License-Identifier: Apache-2.0
-- tries: use up the call's time in short steps
-- known from: own
-- expect: cpu
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    while true do
      for _ = 1, 1e5 do end
      call:say "x"
      for _ = 1, 1e9 do end
    end
  end,
}
