-- SPDX-License-Identifier: Apache-2.0
-- tries: a stack as deep as it goes, in a hundred runs of pcall
-- known from: own
-- expect: ok yes
local function deep(n, ...) return n == 0 and 0 or 1 + deep(n - 1, n, ...) end
for _ = 1, 100 do pcall(deep, 300) end
return "yes"
