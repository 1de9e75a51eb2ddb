-- SPDX-License-Identifier: Apache-2.0
-- tries: take away or replace the built-ins that the library itself needs
-- known from: isaac-racing-client#51
-- expect: ok
local real = pcall
string.find, string.gsub, string.format, table.concat, pcall, type, error, next = nil
for name in real and pairs(math) do math[name] = nil end
math, string.rep, pairs, ipairs, select, setmetatable, tostring = nil
local flow = require "flow"
assert(flow.define { start = "a", a = function() end })
assert(("a b"):gmatch("%a")() == "a")
return {}
