-- ends: error stack overflow
-- SPDX-License-Identifier: Apache-2.0
-- LuaJIT's own gsub recurses on the C stack.
local function f() return (("x"):gsub("x", f)) end f()
return {}
