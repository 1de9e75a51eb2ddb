-- SPDX-License-Identifier: Apache-2.0
-- tries: patterns that take hours
-- known from: Redis CVE-2024-31228, wiremod#2063
-- expect: ok
-- Hours in LuaJIT's own matcher.
local s = ("a"):rep(400)
assert(not pcall(string.find, s, "a-a-a-a-b"))
assert(not pcall(string.find, s:rep(100), "a*b") or true)
assert(not pcall(string.match, ("a"):rep(40000), ".-b"))
assert(not pcall(string.gsub, ("a"):rep(40000), ".-b", ""))
return {}
