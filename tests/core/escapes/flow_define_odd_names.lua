-- SPDX-License-Identifier: Apache-2.0
-- tries: states with names that are no names
-- known from: own
-- expect: ok yes
local flow = require "flow"
for _, name in ipairs { "", " ", "a b", "a\0b", "1a", "\255", ("x"):rep(65), "end ", "a-b", 1, true } do
  local spec = { start = "a", a = function() end }
  spec[name] = function() end
  assert(not pcall(flow.define, spec), tostring(name))
end
return "yes"
