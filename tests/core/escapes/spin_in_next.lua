-- SPDX-License-Identifier: Apache-2.0
-- tries: walk an emptied table of 60,000 slots again and again
-- known from: Lua: while next(t)
-- expect: cpu
local t = {}
for i = 1, 60000 do t["k" .. i] = i end
for k in pairs(t) do t[k] = nil end
while true do next(t) end
