-- SPDX-License-Identifier: Apache-2.0
-- tries: tables with __index, __pairs, __len, __tostring, __metatable that lie or run for ever
-- known from: own
-- expect: ok {got={x=1}}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local function spin() while true do end end
    local t = setmetatable({ x = 1 }, { __index = spin, __pairs = spin, __len = spin, __tostring = spin, __metatable = spin, __ipairs = spin, __next = spin, __eq = spin, __gc = spin })
    call.data.got = call:ask(t)
  end,
}
