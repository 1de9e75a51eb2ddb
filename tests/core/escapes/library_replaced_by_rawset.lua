-- SPDX-License-Identifier: Apache-2.0
-- tries: put another flow.define into the library for other files
-- known from: Starfall#321
-- expect: ok yes
local flow = require "flow"
rawset(flow, "define", function() return "poison" end)
rawset(flow, "done", "poison")
assert(require "flow" == flow)
return "yes" -- the files of this bundle are its own; another version has another library
