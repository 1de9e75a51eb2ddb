-- SPDX-License-Identifier: Apache-2.0
-- tries: arguments with nil between them
-- known from: own
-- expect: ok {got=1}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    call:say(nil, nil, nil)
    call:say(nil, 1, nil, 2, nil)
    call.data.got = call:ask(1, nil, nil, 4)
  end,
}
