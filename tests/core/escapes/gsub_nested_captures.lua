-- SPDX-License-Identifier: Apache-2.0
-- tries: patterns with captures within captures, open and closed wrongly
-- known from: CVE reports on l_match
-- expect: ok yes
for n = 1, 40 do
  local p = ("("):rep(n) .. "a" .. (")"):rep(n)
  pcall(string.gsub, "aaa", p, "%1%9") pcall(string.find, "aaa", p) pcall(string.gsub, "aaa", ("("):rep(n) .. "a", "%1")
  pcall(string.gsub, "aaa", "a" .. (")"):rep(n), "") pcall(string.match, "aaa", p .. "%1") pcall(string.gsub, "aaa", ("()"):rep(n), "%2")
  pcall(string.gsub, "aaa", "(a)" .. ("%1"):rep(n), "%0%0")
end
return "yes"
