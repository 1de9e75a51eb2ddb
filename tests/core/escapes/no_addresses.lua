-- SPDX-License-Identifier: Apache-2.0
-- tries: learn addresses by tostring and %p
-- known from: LuaJIT, PHP's LuaSandbox
-- expect: ok
for _, v in ipairs { {}, function() end, tostring, string.find, require "flow", math.sin } do
  assert(not tostring(v):find("%d%d%d"), tostring(v)) assert(not ("%s"):format(v):find("0x"))
end
assert(not pcall(string.format, "%p", {})) assert(not pcall(string.format, "%5p", "x")) assert(not pcall(string.format, "%-10p", "x"))
local _, e = pcall(error, {}) assert(type(e) == "table")
local _, m = pcall(function() local x = {} return x.y.z end) assert(not m:find("0x%x"))
return {}
