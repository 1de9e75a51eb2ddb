-- SPDX-License-Identifier: Apache-2.0
-- tries: send a call
-- known from: own
-- expect: ok {}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    call:say({ x = call })
  end,
}
