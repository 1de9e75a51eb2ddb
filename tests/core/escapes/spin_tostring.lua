-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: tostring
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
tostring(setmetatable({}, { __tostring = function() while true do end end }))
return {}
