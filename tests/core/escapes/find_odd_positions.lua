-- SPDX-License-Identifier: Apache-2.0
-- tries: positions that are NaN, infinite, beyond 32 bits
-- known from: own
-- expect: ok
for _, i in ipairs { 0, -1, 1e300, -1e300, 0 / 0, 1 / 0, -1 / 0, 2 ^ 31, -2 ^ 31, 2 ^ 53, 1.5 } do
  local _ = ("abc"):find("b", i); _ = ("abc"):find("b", i, true); _ = ("abc"):match("b", i)
  _ = ("abc"):gsub("b", "x", i); _ = ("abc"):gsub("b", function() end, i); _ = ("abc"):sub(i, i)
  pcall(string.byte, "abc", i, i) pcall(string.rep, "x", i) pcall(unpack, { 1 }, i, i) pcall(unpack, {}, 1, i)
  pcall(table.concat, { 1 }, "", i, i) pcall(table.insert, { 1 }, i, 1) pcall(table.remove, { 1 }, i) pcall(select, i, 1)
  pcall(math.random, i) pcall(math.random, i, i) pcall(string.char, i) pcall(bit.tohex, 0, i) pcall(bit.lshift, 1, i) pcall(tonumber, "1", i)
  pcall(string.format, "%d %x %c %5.1f %g", i, i, i, i, i) pcall(math.ldexp, 1, i) pcall(error, "x", i)
end
return {}
