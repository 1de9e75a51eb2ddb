-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: unpack
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
local t = {} for i = 1, 3000 do t[i] = i end while true do unpack(t) end
return {}
