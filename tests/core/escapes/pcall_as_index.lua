-- SPDX-License-Identifier: Apache-2.0
-- tries: pcall and other fast functions as metamethods
-- known from: LuaJIT#1048 #1403
-- expect: ok yes
local fast = { pcall, xpcall, error, tostring, tonumber, rawget, rawset, rawequal, select, next, ipairs, pairs, type, unpack, assert, setmetatable,
  getmetatable, require, math.max, math.floor, string.char, string.byte, string.sub, string.rep, string.format, table.concat, table.insert, bit.bor }
local names = { "__index", "__newindex", "__call", "__add", "__concat", "__eq", "__lt", "__le", "__unm", "__len", "__mod", "__pow", "__tostring", "__mode", "__metatable" }
for _, f in next, fast do
  for _, name in next, names do
    local t = setmetatable({}, { [name] = f })
    pcall(function() return t.x end) pcall(function() t.x = t end) pcall(function() return t(t, t) end) pcall(function() return t + t end)
    pcall(function() return t .. "x" end) pcall(function() return "x" .. t end) pcall(function() return t == setmetatable({}, { [name] = f }) end)
    pcall(function() return t < t end) pcall(function() return t <= 1 end) pcall(function() return -t end) pcall(function() return #t end)
    pcall(function() return tostring(t) end) pcall(function() for _ in t do break end end) pcall(setmetatable, t, t)
    pcall(t, pcall, t)
  end
end
return "yes"
