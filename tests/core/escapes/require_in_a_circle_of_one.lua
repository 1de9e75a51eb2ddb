-- SPDX-License-Identifier: Apache-2.0
-- tries: a flow that requires its own file while it runs
-- known from: own
-- expect: ok {same=true}
-- states: a
local flow = require "flow"
local mine
mine = flow.define { start = "a", a = function(call)
  call.data.same = require "flows.attack" == mine
end }
return mine
