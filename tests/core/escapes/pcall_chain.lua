-- SPDX-License-Identifier: Apache-2.0
-- tries: pcall(pcall, pcall, ...), which writes past the stack in LuaJIT
-- known from: LuaJIT#1048
-- expect: ok
-- A chain of LuaJIT's own pcall writes past the Lua stack.
local list = {}
for i = 1, 50 do list[i] = pcall end
for _ = 1, 100 do pcall(unpack(list)) end
for i = 1, 2000 do list[i] = pcall end
pcall(unpack(list))
return {}
