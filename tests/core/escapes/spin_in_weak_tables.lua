-- SPDX-License-Identifier: Apache-2.0
-- tries: make the collector work on weak tables without end
-- known from: own
-- expect: cpu
local t = setmetatable({}, { __mode = "kv" })
while true do for i = 1, 1000 do t[{}] = {} t[i] = {} end end
