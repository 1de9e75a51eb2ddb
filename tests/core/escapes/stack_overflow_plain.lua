-- ends: error stack overflow
-- SPDX-License-Identifier: Apache-2.0
local function f() return 1 + f() end f()
return {}
