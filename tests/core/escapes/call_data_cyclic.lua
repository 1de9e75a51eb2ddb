-- SPDX-License-Identifier: Apache-2.0
-- tries: call.data that holds itself
-- known from: own
-- expect: error deeper than
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    call.data.me = call.data
  end,
}
