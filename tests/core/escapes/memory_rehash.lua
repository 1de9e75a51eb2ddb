-- ends: memory
-- SPDX-License-Identifier: Apache-2.0
local t = {} for i = 1, 1e9 do t[i * 1.5] = i end
return {}
