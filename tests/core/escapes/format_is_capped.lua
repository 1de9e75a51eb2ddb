-- SPDX-License-Identifier: Apache-2.0
-- tries: a hundred megabytes out of one string.format
-- known from: own
-- expect: error too long
local s, t = ("x"):rep(1000000), {} for i = 1, 100 do t[i] = s end string.format(("%s"):rep(100), unpack(t))
return {}
