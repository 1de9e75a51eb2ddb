-- SPDX-License-Identifier: Apache-2.0
-- tries: fill the message to its last byte, then send what is without end
-- known from: own
-- expect: ok {done=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local laughs = { "ha" }
    for _ = 1, 12 do laughs = { laughs, laughs, laughs, laughs, laughs, laughs, laughs, laughs, laughs, laughs } end
    for len = 65536 - 560, 65536 - 500 do pcall(call.say, call, ("x"):rep(len), laughs) end
    call.data.done = "yes"
  end,
}
