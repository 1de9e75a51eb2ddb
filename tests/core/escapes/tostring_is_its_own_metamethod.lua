-- SPDX-License-Identifier: Apache-2.0
-- tries: __tostring = tostring: endless in LuaJIT, and not to be interrupted
-- known from: own
-- expect: error stack overflow
-- Endless and not to be interrupted in LuaJIT's own tostring.
local t = setmetatable({}, {}) getmetatable(t).__tostring = tostring tostring(t)
return {}
