-- SPDX-License-Identifier: Apache-2.0
-- tries: comparators without any order, which read past the list in Lua 5.1
-- known from: Lua 5.1: invalid order function
-- expect: ok
for _, order in ipairs { function() return true end, function() return false end, function() return math.random() < 0.5 end } do
  local t = {} for i = 1, 500 do t[i] = i end
  table.sort(t, order)
  local seen = {} for _, v in ipairs(t) do seen[v] = true end
  for i = 1, 500 do assert(seen[i]) end
end
local t = { 3, 2, 1 }
assert(not pcall(table.sort, t, function() error("no") end))
assert(t[1] == 3 and t[3] == 1)
assert(not pcall(table.sort, { 1, "a", {} }))
assert(not pcall(table.sort, { 1, 2 }, 5))
table.sort({ 0 / 0, 1, 0 / 0, 2 })
return {}
