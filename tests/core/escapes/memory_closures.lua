-- SPDX-License-Identifier: Apache-2.0
-- tries: memory by closures
-- known from: own
-- expect: memory
local t = {} while true do t[#t + 1] = function() return t end end
return {}
