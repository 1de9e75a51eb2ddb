-- SPDX-License-Identifier: Apache-2.0
-- tries: spin while the error is shown
-- known from: own
-- expect: cpu
local e = setmetatable({}, { __tostring = function() while true do end end })
pcall(error, e)
tostring(e)
