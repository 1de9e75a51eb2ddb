-- SPDX-License-Identifier: Apache-2.0
-- tries: random numbers that differ from run to run, and empty intervals
-- known from: own
-- expect: ok
local a = math.random(1, 1e9) assert(a >= 1 and a <= 1e9) assert(math.random() < 1)
assert(not pcall(math.random, 2, 1)) assert(not pcall(math.random, 0))
return {}
