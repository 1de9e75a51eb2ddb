-- SPDX-License-Identifier: Apache-2.0
-- tries: __tostring, __eq, __lt, __concat that wait for an answer
-- known from: Lua: attempt to yield across C-call boundary
-- expect: ok {text=asked true true joined}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local m = {}
    m.__tostring = function() return call:ask "asked" end
    m.__eq = function() return call:ask(true) end
    m.__lt = function() return call:ask(true) end
    m.__concat = function() return call:ask "joined" end
    local x, y = setmetatable({}, m), setmetatable({}, m)
    call.data.text = ("%s %s %s %s"):format(tostring(x), tostring(x == y), tostring(x < y), x .. y)
  end,
}
