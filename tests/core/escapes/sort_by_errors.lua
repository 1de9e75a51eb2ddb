-- SPDX-License-Identifier: Apache-2.0
-- tries: a comparator that raises, in the middle of a sort
-- known from: Lua 5.1: invalid order function
-- expect: ok yes
local n = 0
for at = 1, 60 do
  local t = {} for i = 1, 30 do t[i] = 30 - i end
  n = 0
  pcall(table.sort, t, function(x, y) n = n + 1 if n == at then error("now") end return x < y end)
  table.sort(t)
  for i = 1, 30 do assert(t[i] == i - 1) end
end
return "yes"
