-- ends: error the error is no text
-- SPDX-License-Identifier: Apache-2.0
error(setmetatable({}, { __tostring = function() while true do end end, __index = function() while true do end end }))
return {}
