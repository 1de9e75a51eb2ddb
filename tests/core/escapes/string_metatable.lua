-- ends: done
-- SPDX-License-Identifier: Apache-2.0
assert(getmetatable("") == nil) assert(getmetatable(1) == nil) assert(getmetatable(print) == nil)
assert(not pcall(setmetatable, "", {})) assert(("").dump == nil) assert(("x").rep == string.rep)
assert(not pcall(function() return ("x"):rep(2 ^ 30) end))
return {}
