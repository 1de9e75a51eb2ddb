-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: sort meta
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
local m = { __lt = function() while true do end end } table.sort { setmetatable({}, m), setmetatable({}, m) }
return {}
