-- SPDX-License-Identifier: Apache-2.0
-- tries: replace functions of the library flow
-- known from: Redis CVE-2025-46818, for libraries
-- expect: ok
local flow = require "flow"
assert(not pcall(function() flow.define = nil end)) assert(getmetatable(flow) == false) assert(not pcall(setmetatable, flow, {}))
assert(tostring(flow.done) == "flow.done") assert(not pcall(function() flow.done.x = 1 end))
for _, spec in ipairs { {}, { start = "a" }, { start = 1 }, { start = "a", a = 1 }, { start = "a", a = print }, { [1] = print, start = "a" } } do
  assert(not pcall(flow.define, spec))
end
assert(not pcall(flow.define)) assert(not pcall(flow.define, "x"))
return {}
