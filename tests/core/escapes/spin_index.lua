-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
local t = setmetatable({}, { __index = function() while true do end end }) local x = t.x
return {}
