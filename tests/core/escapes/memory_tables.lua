-- SPDX-License-Identifier: Apache-2.0
-- tries: memory by many tables
-- known from: own
-- expect: memory
local t = {} while true do t[#t + 1] = {} end
return {}
