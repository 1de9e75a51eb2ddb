-- SPDX-License-Identifier: Apache-2.0
-- tries: overflow the stack in every metamethod
-- known from: own
-- expect: ok
local t = setmetatable({}, {})
local m = getmetatable(t)
for _, name in ipairs { "__index", "__newindex", "__add", "__concat", "__eq", "__lt", "__le", "__call", "__unm", "__tostring" } do
  m[name] = function(a, b) return t.x .. t end
end
pcall(function() return t.x end) pcall(function() t.x = 1 end) pcall(function() return t + 1 end)
pcall(function() return t .. "x" end) pcall(function() return t < t end) pcall(function() return -t end)
pcall(t) pcall(tostring, t)
return {}
