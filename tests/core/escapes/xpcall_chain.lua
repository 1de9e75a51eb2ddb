-- SPDX-License-Identifier: Apache-2.0
-- tries: xpcall(xpcall, xpcall, ...)
-- known from: LuaJIT#1048
-- expect: ok
local list = {}
for i = 1, 200 do list[i] = xpcall end
for _ = 1, 50 do xpcall(unpack(list)) end
return {}
