-- ends: error stack overflow
-- SPDX-License-Identifier: Apache-2.0
local function f() for x in ("xx"):gmatch("x") do f() end end f()
return {}
