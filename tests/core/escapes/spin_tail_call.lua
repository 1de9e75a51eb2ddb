-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
local function f() return f() end f()
return {}
