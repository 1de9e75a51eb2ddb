-- SPDX-License-Identifier: Apache-2.0
-- tries: memory by a growing hash part
-- known from: own
-- expect: memory
local t = {} for i = 1, 1e9 do t[i * 1.5] = i end
return {}
