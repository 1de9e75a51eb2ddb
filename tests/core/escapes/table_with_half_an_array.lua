-- SPDX-License-Identifier: Apache-2.0
-- tries: an array part that grows with half of its slots empty
-- known from: own
-- expect: memory
local t = {}
for i = 1, 1e9, 2 do t[i] = i end
