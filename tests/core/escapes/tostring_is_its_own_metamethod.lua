-- ends: error stack overflow
-- SPDX-License-Identifier: Apache-2.0
-- Endless and not to be interrupted in LuaJIT's own tostring.
local t = setmetatable({}, {}) getmetatable(t).__tostring = tostring tostring(t)
return {}
