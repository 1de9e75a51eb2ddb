-- SPDX-License-Identifier: Apache-2.0
-- tries: replace call.data by what is no plain table
-- known from: own
-- expect: ok {done=yes}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    for _, v in ipairs { 1, "x", true, function() end } do assert(not pcall(function() call.data = v end)) end
    call.data = setmetatable({}, { __index = function() while true do end end, __newindex = function() while true do end end })
    rawset(call.data, "done", "yes")
  end,
}
