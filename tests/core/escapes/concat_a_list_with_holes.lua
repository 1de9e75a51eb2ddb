-- SPDX-License-Identifier: Apache-2.0
-- tries: the same with table.concat and unpack
-- known from: own
-- expect: ok yes
local t = { 1, 2, 3, 4, 5, 6, 7, 8 }
for i = 1, 300 do t["k" .. i] = 1 end
for i = 1, 300 do t["k" .. i] = nil end -- free slots, so that no rehash moves what follows
for i = 0, 25 do t[9 * 2 ^ i] = i end
assert(#t > 1e8, "the trick does not work here")
assert(not pcall(table.concat, t) and not pcall(unpack, t))
return "yes"
