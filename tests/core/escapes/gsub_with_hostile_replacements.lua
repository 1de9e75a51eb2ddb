-- SPDX-License-Identifier: Apache-2.0
-- tries: replacements with % at the end, too many captures, binary
-- known from: own
-- expect: ok yes
for _, r in ipairs { "%", "%%", "%x", "%9", "%0%0%0", "\0%0", ("%0"):rep(1000), "%1%2%3%4%5%6%7%8%9" } do
  pcall(string.gsub, ("ab"):rep(100), "(.)(.)", r) pcall(string.gsub, "", "", r) pcall(string.gsub, ("a"):rep(1000), "", r)
end
pcall(string.gsub, ("a"):rep(1e5), "", ("x"):rep(1e5))
pcall(string.gsub, ("a"):rep(1e5), "()", "%1")
return "yes"
