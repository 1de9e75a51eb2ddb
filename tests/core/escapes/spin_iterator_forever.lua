-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: iterator forever
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
for x in function() return 1 end do end
return {}
