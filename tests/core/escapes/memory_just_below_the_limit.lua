-- SPDX-License-Identifier: Apache-2.0
-- tries: live just below the limit and make garbage
-- known from: own
-- expect: cpu
local keep = {}
for i = 1, 11 do keep[i] = ("x"):rep(1000000) .. i end
while true do local _ = ("y"):rep(100000) .. #keep end
