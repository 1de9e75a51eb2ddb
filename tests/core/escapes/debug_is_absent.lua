-- SPDX-License-Identifier: Apache-2.0
-- tries: debug.getregistry, getupvalue, sethook
-- known from: luanti#8707
-- expect: ok yes
for _, name in ipairs { "getregistry", "getupvalue", "setupvalue", "upvaluejoin", "sethook", "getlocal", "setmetatable", "getinfo", "traceback" } do
  assert(not pcall(function() return debug[name]() end))
end
return "yes"
