-- SPDX-License-Identifier: Apache-2.0
-- tries: bytes that are no Lua
-- known from: own
-- expect: refused
local x = "" @#$%^
return {}
