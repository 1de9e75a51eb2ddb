-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
local m = { __lt = function() while true do end end } local x = setmetatable({}, m) < setmetatable({}, m)
return {}
