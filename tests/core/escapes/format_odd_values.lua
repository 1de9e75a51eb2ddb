-- SPDX-License-Identifier: Apache-2.0
-- tries: numbers that are none, as whole numbers and characters
-- known from: own
-- expect: ok yes
for _, n in ipairs { 0 / 0, 1 / 0, -1 / 0, -0, 1e308, -1e308, 5e-324, 2 ^ 63, -2 ^ 63, 2 ^ 64, 2 ^ 31, 0.5 } do
  for _, f in ipairs { "%d", "%i", "%u", "%o", "%x", "%X", "%c", "%e", "%E", "%f", "%g", "%G", "%a", "%s", "%q", "%5.3d", "%+d" } do
    pcall(string.format, f, n)
    pcall(string.format, f, tostring(n))
  end
  pcall(string.char, n) pcall(string.rep, "x", n) pcall(string.sub, "abc", n, n) pcall(string.byte, "abc", n, n)
end
return "yes"
