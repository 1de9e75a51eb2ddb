-- ends: done
-- SPDX-License-Identifier: Apache-2.0
local depth = 0
local function f() depth = depth + 1 return pcall(string.gsub, "x", "x", f) end
f()
assert(depth > 10)
return {}
