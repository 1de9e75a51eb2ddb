-- SPDX-License-Identifier: Apache-2.0
-- tries: a result of a gigabyte by string.rep's separator
-- known from: own
-- expect: error longer than
local s = ("x"):rep(1e6, ("y"):rep(1000))
return {}
