-- SPDX-License-Identifier: Apache-2.0
-- tries: hold memory while waiting for an answer
-- known from: own
-- expect: memory
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = {}
    while true do
      for i = 1, 10000 do t[#t + 1] = { i } end
      call:say "x"
    end
  end,
}
