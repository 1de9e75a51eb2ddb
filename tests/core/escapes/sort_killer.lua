-- SPDX-License-Identifier: Apache-2.0
-- tries: input that makes quicksort quadratic
-- known from: McIlroy's killer for quicksort
-- expect: ok
local t, n = {}, 32000
for i = 1, n do t[i] = i % 2 == 0 and i or n - i end
table.sort(t) for i = 2, n do assert(t[i - 1] <= t[i]) end
local big = {} for i = 1, 150000 do big[i] = (i * 7919) % 100003 end
table.sort(big)
return {}
