-- SPDX-License-Identifier: Apache-2.0
-- tries: select with negative and huge positions
-- known from: Lua 5.1
-- expect: ok yes
assert(select("#") == 0 and select(-1, 1, 2) == 2)
for _, n in ipairs { 0, -4, -2 ^ 31, 2 ^ 31, 1e300 } do pcall(select, n, 1, 2, 3) end
return "yes"
