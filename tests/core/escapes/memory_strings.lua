-- SPDX-License-Identifier: Apache-2.0
-- tries: memory by many strings
-- known from: own
-- expect: memory
local t = {} while true do t[#t + 1] = ("x"):rep(1000) .. #t end
return {}
