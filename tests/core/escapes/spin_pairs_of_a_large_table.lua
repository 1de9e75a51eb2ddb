-- SPDX-License-Identifier: Apache-2.0
-- tries: pairs of 50,000 keys again and again
-- known from: own
-- expect: cpu
local t = {}
for i = 1, 50000 do t["key" .. i] = i end
while true do for _ in pairs(t) do break end end
