-- SPDX-License-Identifier: Apache-2.0
-- tries: thousands of arguments and results
-- known from: LuaJIT#1367
-- expect: ok
local t = {} for i = 1, 3900 do t[i] = i end assert(select("#", unpack(t)) == 3900) local function f(...) return select("#", ...) end assert(f(unpack(t)) == 3900) pcall(function() local a = { f(unpack(t), unpack(t)) } end) pcall(string.char, unpack(t))
return {}
