-- SPDX-License-Identifier: Apache-2.0
-- tries: %f at both ends, of empty text, of NUL
-- known from: Lua 5.1: %f looks before the text
-- expect: ok yes
for _, s in ipairs { "", "a", "\0", "a\0b", ("x"):rep(1000) } do
  for _, p in ipairs { "%f[%w]", "%f[%W]", "%f[%z]", "%f[^%z]", "%f[]]", "%f[\0-\255]", "^%f[%a]$", "%f[%a]*" } do
    pcall(string.gsub, s, p, "<%0>") pcall(string.find, s, p, -1) pcall(string.find, s, p, #s + 1)
  end
end
return "yes"
