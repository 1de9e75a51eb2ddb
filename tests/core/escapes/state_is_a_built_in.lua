-- SPDX-License-Identifier: Apache-2.0
-- tries: states that are built-ins in C, called with the call
-- known from: own
-- expect: error no text
-- states: a
local flow = require "flow"
return flow.define { start = "a", a = error }
