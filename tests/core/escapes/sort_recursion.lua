-- ends: error stack overflow
-- SPDX-License-Identifier: Apache-2.0
local function f() table.sort({ 1, 2, 3 }, f) return true end f()
return {}
