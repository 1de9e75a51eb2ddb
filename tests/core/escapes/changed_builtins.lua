-- ends: done
-- SPDX-License-Identifier: Apache-2.0
local real = pcall
string.find, string.gsub, string.format, table.concat, pcall, type, error, next = nil
for name in real and pairs(math) do math[name] = nil end
math, string.rep, pairs, ipairs, select, setmetatable, tostring = nil
local flow = require "flow"
assert(flow.define { start = "a", a = function() end })
assert(("a b"):gmatch("%a")() == "a")
return {}
