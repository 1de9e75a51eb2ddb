-- SPDX-License-Identifier: Apache-2.0
-- tries: change a table while it is walked, and go on with keys that are gone
-- known from: Lua: invalid key to next
-- expect: ok yes
local t = {}
for i = 1, 1000 do t["k" .. i] = i end
for k in next, t do t[k] = nil t[k .. "x"] = nil end
pcall(next, t, "not there") pcall(next, t, 0 / 0) pcall(next, t, {})
for k in pairs(t) do t[k] = nil for i = 1, 10 do t[i] = i end end
return "yes"
