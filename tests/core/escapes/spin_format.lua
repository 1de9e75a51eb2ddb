-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
("%s"):format(setmetatable({}, { __tostring = function() while true do end end }))
return {}
