-- SPDX-License-Identifier: Apache-2.0
-- tries: send a function
-- known from: own
-- expect: error a function cannot be sent
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    call:say({ x = function() end })
  end,
}
