-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: index
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
local t = setmetatable({}, { __index = function() while true do end end }) local x = t.x
return {}
