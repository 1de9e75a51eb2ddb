-- SPDX-License-Identifier: Apache-2.0
-- tries: string.format and __tostring in each other, on the C stack
-- known from: own
-- expect: error stack overflow
local t = {} setmetatable(t, { __tostring = function() return ("%s"):format(t) end }) tostring(t)
return {}
