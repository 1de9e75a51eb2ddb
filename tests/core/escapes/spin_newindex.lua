-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: newindex
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
local t = setmetatable({}, { __newindex = function() while true do end end }) t.x = 1
return {}
