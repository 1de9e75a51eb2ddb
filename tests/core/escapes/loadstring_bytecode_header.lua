-- SPDX-License-Identifier: Apache-2.0
-- tries: loadstring of a text that begins as compiled code does
-- known from: Factorio, Redis
-- expect: ok yes
for _, name in ipairs { "loadstring", "load", "loadfile", "dofile" } do
  assert(not pcall(function() return _G[name]("\27LJ\2") end))
end
return "yes"
