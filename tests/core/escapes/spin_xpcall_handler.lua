-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: xpcall handler
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
xpcall(error, function() while true do end end)
return {}
