-- SPDX-License-Identifier: Apache-2.0
-- tries: a gmatch whose matches are empty
-- known from: own
-- expect: ok 100001
local n = 0
for _ in ("x"):rep(1e5):gmatch("") do n = n + 1 end
return n
