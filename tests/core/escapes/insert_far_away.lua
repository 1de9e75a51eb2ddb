-- ends: error position out of bounds
-- SPDX-License-Identifier: Apache-2.0
-- 14 seconds in LuaJIT's own table.insert.
table.insert({ 1, 2, 3 }, -2 ^ 31, 1)
return {}
