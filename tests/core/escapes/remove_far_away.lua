-- ends: done
-- SPDX-License-Identifier: Apache-2.0
local t = { 1, 2, 3 } table.remove(t, -2 ^ 31) table.remove(t, 2 ^ 31) assert(#t == 3)
return {}
