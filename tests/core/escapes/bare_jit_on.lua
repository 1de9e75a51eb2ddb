-- SPDX-License-Identifier: Apache-2.0
-- tries: compile, so that hooks are not asked
-- known from: LuaJIT: hooks and compiled code
-- expect: error attempt to index
-- bare: killed
jit.on()
jit.opt.start("hotloop=2")
local n = 0
for i = 1, 1e5 do n = n + i end
if jit.status() then return "escaped" end
