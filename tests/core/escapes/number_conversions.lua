-- SPDX-License-Identifier: Apache-2.0
-- tries: integers beyond 32 and 64 bits where a position is wanted
-- known from: own
-- expect: ok yes
local odd = { 2 ^ 31, 2 ^ 31 - 1, -2 ^ 31, -2 ^ 31 - 1, 2 ^ 32, 2 ^ 53, 2 ^ 63, -2 ^ 63, 2 ^ 64, 1e308, -1e308, 1 / 0, -1 / 0, 0 / 0, 0.5, -0 }
for _, i in ipairs(odd) do
  for _, j in ipairs(odd) do
    pcall(unpack, {}, i, j) pcall(table.concat, {}, "", i, j) pcall(string.sub, "abc", i, j) pcall(string.byte, "abc", i, j)
    pcall(select, i, j) pcall(math.random, i, j) pcall(bit.lshift, i, j) pcall(math.ldexp, i, j) pcall(math.fmod, i, j) pcall(string.find, "abc", "b", i, j)
  end
  pcall(table.insert, { 1, 2, 3 }, i, 1) pcall(table.remove, { 1, 2, 3 }, i) pcall(string.rep, "", i) pcall(string.rep, "x", i) pcall(string.char, i)
  pcall(error, "x", i) pcall(math.random, i) pcall(select, i) pcall(ipairs, i) pcall(setmetatable, {}, i) pcall(tonumber, "10", i)
end
return "yes"
