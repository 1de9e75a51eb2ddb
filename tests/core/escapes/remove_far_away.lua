-- SPDX-License-Identifier: Apache-2.0
-- tries: table.remove at far positions
-- known from: own
-- expect: ok
local t = { 1, 2, 3 } table.remove(t, -2 ^ 31) table.remove(t, 2 ^ 31) assert(#t == 3)
return {}
