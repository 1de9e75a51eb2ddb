-- SPDX-License-Identifier: Apache-2.0
-- tries: NaN, infinities, -0 and 2^53 as arguments
-- known from: own
-- expect: ok {done=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    for _, n in ipairs { 0 / 0, 1 / 0, -1 / 0, -0, 2 ^ 53, 2 ^ 53 + 2, -2 ^ 53, 5e-324, 1e308 } do
      local back = call:ask(n)
      assert(back == n or back ~= back)
    end
    call.data.done = "yes"
  end,
}
