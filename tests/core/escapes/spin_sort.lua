-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: sort
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
table.sort({ 1, 2, 3 }, function() while true do end end)
return {}
