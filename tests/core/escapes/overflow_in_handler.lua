-- SPDX-License-Identifier: Apache-2.0
-- tries: overflow the stack again in the handler of the overflow
-- known from: LuaJIT#1152
-- expect: ok
local function deep() return 1 + deep() end
for _ = 1, 50 do xpcall(deep, deep) end
return {}
