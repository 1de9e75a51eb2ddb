-- SPDX-License-Identifier: Apache-2.0
-- tries: a metamethod that takes its own metatable away
-- known from: own
-- expect: ok yes
local t = {}
local m = {}
m.__index = function(self) m.__index = nil setmetatable(self, nil) return 1 end
m.__concat = function(x) setmetatable(t, nil) return "x" end
m.__eq = function() setmetatable(t, nil) return true end
for _ = 1, 100 do
  m.__index = m.__index or function(self) setmetatable(self, nil) return 1 end
  setmetatable(t, m) local _ = t.x
  setmetatable(t, m) pcall(function() return t .. t .. t .. "x" end)
  setmetatable(t, m) local _ = t == setmetatable({}, m)
end
return "yes"
