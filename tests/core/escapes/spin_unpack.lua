-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
local t = {} for i = 1, 3000 do t[i] = i end while true do unpack(t) end
return {}
