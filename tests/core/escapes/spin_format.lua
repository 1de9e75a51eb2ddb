-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: format
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
("%s"):format(setmetatable({}, { __tostring = function() while true do end end }))
return {}
