-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
local m = { __lt = function() while true do end end } table.sort { setmetatable({}, m), setmetatable({}, m) }
return {}
