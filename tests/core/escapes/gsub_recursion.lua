-- SPDX-License-Identifier: Apache-2.0
-- tries: gsub that calls itself, which crashes LuaJIT on the C stack
-- known from: OpenComputers#94
-- expect: error stack overflow
-- LuaJIT's own gsub recurses on the C stack.
local function f() return (("x"):gsub("x", f)) end f()
return {}
