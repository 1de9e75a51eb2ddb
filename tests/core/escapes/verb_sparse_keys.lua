-- SPDX-License-Identifier: Apache-2.0
-- tries: keys that stand far apart, chosen to collide in the worker
-- known from: LuaJIT's hash of numbers has no seed
-- expect: error number keys
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = {}
    for i = 1, 3000 do t[i * 2 ^ 20 + 7] = 1 end
    call:say(t)
  end,
}
