-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: gsub table
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
("x"):gsub("x", setmetatable({}, { __index = function() while true do end end }))
return {}
