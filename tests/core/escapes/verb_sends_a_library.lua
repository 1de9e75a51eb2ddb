-- SPDX-License-Identifier: Apache-2.0
-- tries: send a library
-- known from: own
-- expect: ok {}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    call:say({ x = flow })
  end,
}
