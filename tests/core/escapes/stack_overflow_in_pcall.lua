-- SPDX-License-Identifier: Apache-2.0
-- tries: overflow the stack, caught, again and again
-- known from: LuaJIT#1152
-- expect: ok
local function f() return 1 + f() end
for _ = 1, 20 do local ok, text = pcall(f) assert(not ok and text:find("stack overflow")) end
return {}
