-- SPDX-License-Identifier: Apache-2.0
-- tries: the same with pcall in between
-- known from: own
-- expect: ok
local depth = 0
local function f() depth = depth + 1 return pcall(string.gsub, "x", "x", f) end
f()
assert(depth > 10)
return {}
