-- SPDX-License-Identifier: Apache-2.0
-- tries: rawset on what is read only
-- known from: Starfall#321
-- expect: ok
local flow = require "flow"
local f = flow.define { start = "a", a = function() end }
rawset(f, "a", 1) rawset(flow, "define", 1) rawset(flow.done, "x", 1)
assert(not pcall(function() f.b = 1 end)) assert(not pcall(setmetatable, f, {}))
return {}
