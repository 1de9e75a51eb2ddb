-- SPDX-License-Identifier: Apache-2.0
-- tries: see and replace the metatable of the call
-- known from: Starfall#321
-- expect: ok {done=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    assert(getmetatable(call) == false and not pcall(setmetatable, call, {}) and not pcall(setmetatable, call, nil))
    assert(not pcall(function() call.id = "c2" end) and not pcall(function() call.say = 1 end) and not pcall(function() call[{}] = 1 end))
    assert(rawget(call, "say") == nil and next(call) == nil and tostring(call) == "call")
    for key in pairs(call) do error(key) end
    call.data.done = "yes"
  end,
}
