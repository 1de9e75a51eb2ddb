-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: call
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
setmetatable({}, { __call = function() while true do end end })()
return {}
