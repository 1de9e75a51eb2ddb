-- SPDX-License-Identifier: Apache-2.0
-- tries: a result four times as long as its argument, by %q
-- known from: own
-- expect: error too long
local s = ("\0"):rep(1e6)
return #("%q"):format(s)
