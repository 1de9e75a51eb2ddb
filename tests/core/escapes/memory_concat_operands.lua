-- SPDX-License-Identifier: Apache-2.0
-- tries: 600 MB out of one expression
-- known from: own
-- expect: hard
local s = ("x"):rep(1000000) s = s .. s .. s .. s local t = s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s
return {}
