-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: gsub function
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
("x"):gsub("x", function() while true do end end)
return {}
