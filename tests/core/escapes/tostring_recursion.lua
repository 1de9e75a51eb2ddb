-- SPDX-License-Identifier: Apache-2.0
-- tries: __tostring that calls tostring
-- known from: own
-- expect: error stack overflow
local t = {} setmetatable(t, { __tostring = function() return tostring(t) end }) tostring(t)
return {}
