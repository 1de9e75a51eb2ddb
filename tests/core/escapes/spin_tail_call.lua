-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: tail call
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
local function f() return f() end f()
return {}
