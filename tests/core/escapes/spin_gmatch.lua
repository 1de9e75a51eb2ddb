-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: gmatch
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
while true do for x in ("aaa"):gmatch("a") do end end
return {}
