-- SPDX-License-Identifier: Apache-2.0
-- tries: require paths above, absolute, with NUL, URL and pattern characters
-- known from: path traversal everywhere
-- expect: ok yes
for _, name in ipairs { "../attack", "..attack", "/attack", "./attack", "attack\0", "attack\0.lua", "flows//main", "flows/../attack",
  "file:///etc/passwd", "\\attack", "%61ttack", "attack.lua", "flows.main.lua", "~root", "$HOME", "attack;x", "a" .. ("x"):rep(1e5), "-", "--", "..", "",
  "C:attack", "attack ", " attack", "attack\n", "ATTACK", "con", "nul", "flow\0", "flow ", "flow.", ".flow" } do
  local ok = pcall(require, name)
  assert(not ok, name:sub(1, 40))
end
for _, name in ipairs { 1, true, {}, print or 2, setmetatable({}, { __tostring = function() return "flow" end }) } do
  assert(not pcall(require, name))
end
return "yes"
