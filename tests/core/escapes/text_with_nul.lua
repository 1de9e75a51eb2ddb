-- SPDX-License-Identifier: Apache-2.0
-- tries: NUL within patterns, keys, names and errors
-- known from: Lua 5.1: patterns end at NUL
-- expect: ok yes
assert(("a\0b"):find("\0") == 2 and ("a\0b"):find("\0b", 1, true) == 2 and ("\0\0"):rep(2) == "\0\0\0\0")
local t = { ["a\0b"] = 1, ["a\0c"] = 2, a = 3 }
assert(t["a\0b"] == 1 and t.a == 3)
local keys = {} for k in pairs(t) do keys[#keys + 1] = #k end
assert(table.concat(keys, " ") == "1 3 3")
assert(not pcall(function() _G["x\0y"]() end))
return "yes"
