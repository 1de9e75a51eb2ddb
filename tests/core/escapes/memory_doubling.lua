-- SPDX-License-Identifier: Apache-2.0
-- tries: memory by doubling a string
-- known from: wiremod#1971
-- expect: memory
local s = ("x"):rep(1000000) while true do s = s .. s end
return {}
