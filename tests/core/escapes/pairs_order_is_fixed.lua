-- SPDX-License-Identifier: Apache-2.0
-- tries: make a flow take another way in another process, by the order of pairs
-- known from: own
-- expect: ok
local t = { b = 1, a = 2, [3] = 3, [1] = 4, [true] = 5, [-1] = 6, [0.5] = 7, [false] = 8 }
local order = {} for k in pairs(t) do order[#order + 1] = tostring(k) end
assert(table.concat(order, " ") == "-1 0.5 1 3 a b false true", table.concat(order, " "))
for k in pairs(t) do t[k] = nil end assert(next(t) == nil)
local n = 0 local u = { 1, 2, 3 } for k in pairs(u) do u[k + 3] = k n = n + 1 end assert(n == 3)
assert(not pcall(pairs)) assert(not pcall(pairs, 1)) assert(not pcall(next, {}, "x"))
return {}
