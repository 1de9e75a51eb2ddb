-- SPDX-License-Identifier: Apache-2.0
-- tries: texts about the size of a message
-- known from: own
-- expect: ok {done=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    for len = 65536 - 600, 65536 do pcall(call.say, call, ("x"):rep(len)) end
    call.data.done = "yes"
  end,
}
