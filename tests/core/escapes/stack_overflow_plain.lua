-- SPDX-License-Identifier: Apache-2.0
-- tries: overflow the stack
-- known from: own
-- expect: error stack overflow
local function f() return 1 + f() end f()
return {}
