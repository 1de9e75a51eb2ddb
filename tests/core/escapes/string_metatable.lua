-- SPDX-License-Identifier: Apache-2.0
-- tries: getmetatable("").__index, to poison what all strings share
-- known from: Redis CVE-2025-46818
-- expect: ok
assert(getmetatable("") == nil) assert(getmetatable(1) == nil) assert(getmetatable(print) == nil)
assert(not pcall(setmetatable, "", {})) assert(("").dump == nil) assert(("x").rep == string.rep)
assert(not pcall(function() return ("x"):rep(2 ^ 30) end))
return {}
