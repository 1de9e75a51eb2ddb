-- SPDX-License-Identifier: Apache-2.0
-- tries: an array of 2^26 slots by one assignment
-- known from: own
-- expect: ok 1
local t = {}
t[2 ^ 26] = 1
t[2 ^ 31] = 1 t[-2 ^ 31] = 1 t[2 ^ 53] = 1 t[1e300] = 1 t[1 / 0] = 1
assert(not pcall(function() t[0 / 0] = 1 end))
return t[2 ^ 26]
