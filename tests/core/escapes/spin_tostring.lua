-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
tostring(setmetatable({}, { __tostring = function() while true do end end }))
return {}
