-- SPDX-License-Identifier: Apache-2.0
-- tries: make short strings without end
-- known from: own
-- expect: cpu
local i = 0
while true do i = i + 1 local _ = "k" .. i end
