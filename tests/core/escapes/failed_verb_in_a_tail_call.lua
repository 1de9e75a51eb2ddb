-- SPDX-License-Identifier: Apache-2.0
-- tries: an error of the host in a tail call, with names that lie
-- known from: own
-- expect: error refuse
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    return call:refuse "x"
  end,
}
