-- SPDX-License-Identifier: Apache-2.0
-- tries: send tables of every depth about the limit: what leaves must be valid
-- known from: own
-- expect: ok {sent=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t, sent = {}, 0
    for _ = 1, 20 do
      if pcall(call.say, call, t) then sent = sent + 1 end
      t = { t }
    end
    assert(sent >= 10 and sent < 20)
    call.data.sent = "yes"
  end,
}
