-- SPDX-License-Identifier: Apache-2.0
-- tries: a list of thirty keys that says its length is hundreds of millions, and insert into it
-- known from: own
-- expect: error would move more than
local t = { 1, 2, 3, 4, 5, 6, 7, 8 }
for i = 1, 300 do t["k" .. i] = 1 end
for i = 1, 300 do t["k" .. i] = nil end -- free slots, so that no rehash moves what follows
for i = 0, 25 do t[9 * 2 ^ i] = i end
assert(#t > 1e8, "the trick does not work here")
table.insert(t, 1, "x")
