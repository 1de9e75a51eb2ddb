-- SPDX-License-Identifier: Apache-2.0
-- tries: return what names no state
-- known from: own
-- expect: error no state
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    return ("x\0\255"):rep(1000)
  end,
}
