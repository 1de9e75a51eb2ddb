-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
local t = setmetatable({}, { __newindex = function() while true do end end }) t.x = 1
return {}
