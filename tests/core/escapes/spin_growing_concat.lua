-- SPDX-License-Identifier: Apache-2.0
-- tries: a loop whose each step costs more
-- known from: wiremod#1971
-- expect: cpu
local s, keep = ("a"):rep(1e6), nil
while true do keep = s .. "b" keep = s .. "c" end
