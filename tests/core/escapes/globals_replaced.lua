-- SPDX-License-Identifier: Apache-2.0
-- tries: replace every global
-- known from: isaac-racing-client#51
-- expect: ok yes
local set, each, kind = rawset, next, type
for name, value in each, _G do
  if kind(value) == "function" then set(_G, name, function() return "poison" end) end
end
return "yes"
