-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: iterator
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
for x in function() while true do end end do end
return {}
