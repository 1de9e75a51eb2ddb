-- SPDX-License-Identifier: Apache-2.0
-- tries: strings that LuaJIT's sparse hash does not tell apart
-- known from: garrysmod-issues#3526, LuaJIT#168
-- expect: ok 20000
local t, n, front, back = {}, 0, ("a"):rep(20), ("b"):rep(20)
for i = 1, 20000 do t[front .. ("x"):rep(i % 100) .. i .. ("x"):rep(100 - i % 100) .. back] = i end
for _ in pairs(t) do n = n + 1 end
return n
