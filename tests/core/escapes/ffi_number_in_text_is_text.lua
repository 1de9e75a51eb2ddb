-- SPDX-License-Identifier: Apache-2.0
-- tries: numbers that only stand in texts, comments and names
-- known from: own
-- expect: ok 1LL 2i
-- 1LL 2i
--[[ 3ULL ]] --[==[ 4i ]==]
local a1LL, b2i, t = "1LL", '2i', { x1i = 5, [ [[6LL]] ] = 7 }
assert(t.x1i == 5 and "\z
  8LL" == "8LL" and "\"9i" and 0x1F == 31 and 1e3 == 1000 and .5 + 5. == 5.5 and 0x.8p1 == 1)
for i = 1,2 do local ll = i end
return a1LL .. " " .. b2i
