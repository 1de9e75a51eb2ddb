-- SPDX-License-Identifier: Apache-2.0
-- tries: every other metamethod and an iterator that wait for an answer
-- known from: Lua: attempt to yield across C-call boundary
-- expect: ok {x=index newindex call add unm le step 16}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local seen, n = {}, 0
    local function asks(name, result)
      return function() seen[#seen + 1] = call:ask(name) return result end
    end
    local odd = setmetatable({}, { __index = asks("index", 1), __newindex = asks "newindex", __call = asks("call", 2),
      __add = asks("add", 3), __unm = asks("unm", 4), __le = asks("le", true) })
    local sum = odd.x
    odd.y = 1
    sum = sum + odd() + (odd + 1)
    sum = sum + -odd
    assert(odd <= odd)
    for step in function() n = n + 1 if n < 2 then return call:ask "step" end end do
      seen[#seen + 1] = step
      sum = sum + 6
    end
    call.data.x = table.concat(seen, " ") .. " " .. sum
  end,
}
