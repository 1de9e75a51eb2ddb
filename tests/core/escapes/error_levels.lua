-- SPDX-License-Identifier: Apache-2.0
-- tries: error with levels beyond the stack
-- known from: own
-- expect: ok yes
for _, level in ipairs { 0, 1, 2, 3, 100, 1e5, -1, 2 ^ 31, -2 ^ 31, 0 / 0, 1e300 } do pcall(error, "x", level) end
return "yes"
