-- SPDX-License-Identifier: Apache-2.0
-- tries: a file that returns NaN, false, a string metatable's victim
-- known from: own
-- expect: ok nan
return 0 / 0
