-- SPDX-License-Identifier: Apache-2.0
-- tries: an error whose metamethods run for ever when the host looks at it
-- known from: own
-- expect: error the error is no text
error(setmetatable({}, { __tostring = function() while true do end end, __index = function() while true do end end }))
return {}
