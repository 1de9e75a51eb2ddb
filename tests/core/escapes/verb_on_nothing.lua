-- SPDX-License-Identifier: Apache-2.0
-- tries: verbs without a call, on another value, on a copy
-- known from: own
-- expect: ok {done=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    for _, self in ipairs { 1, "x", {}, true, call.say, setmetatable({}, { __index = call, __eq = function() return true end }) } do
      assert(not pcall(call.say, self, "x"))
    end
    assert(not pcall(call.say) and not pcall(call.say, nil, "x"))
    call.data.done = "yes"
  end,
}
