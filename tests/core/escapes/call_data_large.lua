-- SPDX-License-Identifier: Apache-2.0
-- tries: call.data of a megabyte
-- known from: own
-- expect: error too large
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    call.data.text = ("x"):rep(1e6)
  end,
}
