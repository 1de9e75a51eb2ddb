-- SPDX-License-Identifier: Apache-2.0
-- tries: seed the random numbers of all calls
-- known from: own
-- expect: error attempt to call
math.randomseed(1)
