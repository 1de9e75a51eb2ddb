-- SPDX-License-Identifier: Apache-2.0
-- tries: keys that are tables, functions, booleans
-- known from: own
-- expect: ok {done=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    for _, key in ipairs { {}, function() end, true, 0.5, -1, 1 / 0, 2 ^ 53, "" } do pcall(call.say, call, { [key] = 1 }) end
    call.data.done = "yes"
  end,
}
