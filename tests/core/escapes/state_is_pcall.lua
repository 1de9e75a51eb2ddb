-- SPDX-License-Identifier: Apache-2.0
-- tries: a state that is pcall, xpcall, require
-- known from: own
-- expect: error it must be a state's name
-- states: a
local flow = require "flow"
return flow.define { start = "a", a = pcall, b = xpcall, c = require }
