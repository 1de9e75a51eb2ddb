-- SPDX-License-Identifier: Apache-2.0
-- tries: ask the length of a list with holes again and again
-- known from: own
-- expect: cpu
local t = {}
for i = 1, 100000 do t[i] = i end
for i = 17, 29 do t[2 ^ i] = 1 end
while true do local _ = #t end
