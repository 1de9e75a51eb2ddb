-- SPDX-License-Identifier: Apache-2.0
-- tries: keep the call in a global and use it in the next visit
-- known from: own
-- expect: error on the call the state was given
-- states: a b
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    kept = call
    return "b"
  end,
  b = function(call)
    kept:say "x"
  end,
}
