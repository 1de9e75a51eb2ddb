-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: string calls
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
while true do ("x"):rep(1000):upper():lower():reverse():byte() end
return {}
