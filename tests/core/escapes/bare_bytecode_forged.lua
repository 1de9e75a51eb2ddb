-- SPDX-License-Identifier: Apache-2.0
-- tries: run compiled code with a changed byte
-- known from: Factorio, Redis, LuaJIT#936
-- expect: error attempt to call
local dumped = string.dump(function() local t = { 1, 2, 3 } return t[1] .. t[2] end)
for i = 1, #dumped do
  local f = loadstring(dumped:sub(1, i - 1) .. "\255" .. dumped:sub(i + 1))
  if f then pcall(f) end
end
