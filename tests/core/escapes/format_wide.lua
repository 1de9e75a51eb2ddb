-- SPDX-License-Identifier: Apache-2.0
-- tries: conversions with huge widths and precisions
-- known from: Lua: string.format of %99999d
-- expect: ok yes
for _, f in ipairs { "%99999d", "%.99999f", "%99999s", "%2147483648d", "%.2147483648f", "%-+ #0999d", "%1$s", "%n", "%ll", "%", "%5", "%.", "%5.", "%*d", "%hhd", "%A", "%y" } do
  pcall(string.format, f, 1e308, 1)
  pcall(string.format, f, "x", "y")
  pcall(string.format, f)
end
assert(#("%99.99f"):format(1e308) > 400)
return "yes"
