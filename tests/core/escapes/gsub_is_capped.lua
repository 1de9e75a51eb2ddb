-- SPDX-License-Identifier: Apache-2.0
-- tries: a result of 100 MB made by a replacement text
-- known from: own
-- expect: error longer than
local s = ("x"):rep(100000):gsub("x", ("y"):rep(1000))
return {}
