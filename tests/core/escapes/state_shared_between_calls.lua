-- SPDX-License-Identifier: Apache-2.0
-- tries: keep things in a file's variables from one visit to the next
-- known from: own: allowed, within one version
-- expect: ok {n=2}
-- states: a a
local flow = require "flow"
local n = 0
return flow.define { start = "a", a = function(call) n = n + 1 call.data.n = n end }
