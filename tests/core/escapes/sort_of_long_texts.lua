-- SPDX-License-Identifier: Apache-2.0
-- tries: sort 60,000 references to texts that differ at their end only
-- known from: own
-- expect: cpu
local a, b, t = ("x"):rep(1e6) .. "a", ("x"):rep(1e6) .. "b", {}
for i = 1, 60000 do t[i] = i % 2 == 0 and a or b end
while true do table.sort(t) end
