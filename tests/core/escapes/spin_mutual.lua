-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: mutual
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
local a, b function a() return b() end function b() return a() end a()
return {}
