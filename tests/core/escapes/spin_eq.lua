-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: eq
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
local m = { __eq = function() while true do end end } local x = setmetatable({}, m) == setmetatable({}, m)
return {}
