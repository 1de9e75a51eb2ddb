-- SPDX-License-Identifier: Apache-2.0
-- tries: getfenv(0), getfenv of a built-in: the real globals
-- known from: cclite#46, envoy gateway#9743
-- expect: ok yes
for _, f in ipairs { 0, 1, 2, pcall, tostring, string.find, require } do
  assert(not pcall(function() return getfenv(f) end))
  assert(not pcall(function() return setfenv(f, {}) end))
end
return "yes"
