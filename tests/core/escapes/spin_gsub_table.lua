-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
("x"):gsub("x", setmetatable({}, { __index = function() while true do end end }))
return {}
