-- SPDX-License-Identifier: Apache-2.0
-- tries: raise errors with text just where the stack ends
-- known from: LuaJIT#1152
-- expect: ok yes
local depth = 0
local function down(n) depth = depth + 1 if n == 0 then error("deep") end return 1 + down(n - 1) end
pcall(down, 1e9)
local most = depth
for less = 0, 60 do
  pcall(down, most - less)
  pcall(function() local function f(n) if n == 0 then return nil .. "x" end return 1 + f(n - 1) end f(most - less) end)
  pcall(function() local function f(n) if n == 0 then return (("x"):rep(10, {})) end return 1 + f(n - 1) end f(most - less) end)
end
return "yes"
