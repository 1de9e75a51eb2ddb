-- SPDX-License-Identifier: Apache-2.0
-- tries: patterns that recurse deeply or are cut off at every place
-- known from: lua-l 2011-02; CVE reports on l_match
-- expect: ok
for _, p in ipairs { ("a?"):rep(20000), ("(a"):rep(100), ("a*"):rep(20000), ("a-"):rep(20000), ("("):rep(40), ("%b()"):rep(9000),
  ("[a"):rep(1000), "%", "[", "[^", "[%", "%b", "%bx", "%f", "(()", "%1", "(%1)", "^", "$", "[]", "[^]", "[a-", "[%a-z]", "%g" } do
  for _, s in ipairs { "", "a", ("a"):rep(30000), "(((())))", "\0\0\255" } do
    pcall(string.find, s, p) pcall(string.match, s, p) pcall(string.gsub, s, p, "%1") pcall(string.gsub, s, p, function() end)
    pcall(function() local n = 0 for _ in s:gmatch(p) do n = n + 1 if n > 100 then break end end end)
  end
end
return {}
