-- SPDX-License-Identifier: Apache-2.0
-- tries: put the call, the library and a flow into call.data
-- known from: own
-- expect: ok {call={} flow={}}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    call.data.call, call.data.flow = call, flow
  end,
}
