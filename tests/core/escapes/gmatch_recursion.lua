-- SPDX-License-Identifier: Apache-2.0
-- tries: gmatch within gmatch without end
-- known from: own
-- expect: error stack overflow
local function f() for x in ("xx"):gmatch("x") do f() end end f()
return {}
