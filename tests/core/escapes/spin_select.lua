-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: select
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
while true do select(-1, 1, 2, 3) end
return {}
