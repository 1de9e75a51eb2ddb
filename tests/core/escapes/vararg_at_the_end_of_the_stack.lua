-- SPDX-License-Identifier: Apache-2.0
-- tries: spread 4,000 values where the stack has no room
-- known from: LuaJIT#1367
-- expect: error stack overflow
local list = {}
for i = 1, 3999 do list[i] = i end
local function down(n, ...) return 1 + down(n + 1, unpack(list)) end
down(1)
