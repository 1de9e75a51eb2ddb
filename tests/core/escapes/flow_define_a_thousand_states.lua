-- SPDX-License-Identifier: Apache-2.0
-- tries: more states than a flow may have
-- known from: own
-- expect: error more than 200 states
local flow, spec = require "flow", { start = "s1" }
for i = 1, 1000 do spec["s" .. i] = function() end end
flow.define(spec)
