-- SPDX-License-Identifier: Apache-2.0
-- tries: NaN, infinities, -0 through arithmetic, keys and sorting
-- known from: own
-- expect: ok yes
local nan = 0 / 0
assert(not pcall(function() return ({})[nan] == nil and rawset({}, nan, 1) end))
local t = { 3, nan, 1, nan, 2 }
table.sort(t)
assert(#t == 5)
for i = 1, 1 / 0 do if i > 10 then break end end
for _ = nan, nan do error("a loop over NaN") end
for _ = 1, 10, nan do break end
assert(tostring(-0) and (-0 == 0) and 1e308 * 10 == 1 / 0 and math.max(nan, 1))
return "yes"
