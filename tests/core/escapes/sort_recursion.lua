-- SPDX-License-Identifier: Apache-2.0
-- tries: sort within the comparator without end
-- known from: OpenComputers#94
-- expect: error stack overflow
local function f() table.sort({ 1, 2, 3 }, f) return true end f()
return {}
