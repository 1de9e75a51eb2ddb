-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: for
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
for i = 1, math.huge do end
return {}
