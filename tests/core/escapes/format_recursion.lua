-- ends: error stack overflow
-- SPDX-License-Identifier: Apache-2.0
local t = {} setmetatable(t, { __tostring = function() return ("%s"):format(t) end }) tostring(t)
return {}
