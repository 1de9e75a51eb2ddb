-- ends: error too long
-- SPDX-License-Identifier: Apache-2.0
local s, t = ("x"):rep(1000000), {} for i = 1, 100 do t[i] = s end string.format(("%s"):rep(100), unpack(t))
return {}
