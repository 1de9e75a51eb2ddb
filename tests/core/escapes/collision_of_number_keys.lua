-- SPDX-License-Identifier: Apache-2.0
-- tries: number keys that fall into one slot
-- known from: LuaJIT's hash of numbers has no seed
-- expect: ok yes
local t = {}
for i = 1, 6000 do t[i * 2 ^ 32 + 0.5 * 2 ^ 20] = i end
return "yes"
