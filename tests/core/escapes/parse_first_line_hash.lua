-- SPDX-License-Identifier: Apache-2.0
-- tries: a first line that the parser skips and that hides what follows
-- known from: PUC Lua and LuaJIT: lines for the shell
-- expect: refused 
# '
local x = 1
return x .. '
