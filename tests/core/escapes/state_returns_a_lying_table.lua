-- SPDX-License-Identifier: Apache-2.0
-- tries: return a table that says it is a name
-- known from: own
-- expect: error a state's name
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    return setmetatable({}, { __tostring = function() return "a" end, __eq = function() return true end })
  end,
}
