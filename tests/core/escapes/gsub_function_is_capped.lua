-- SPDX-License-Identifier: Apache-2.0
-- tries: a result of 100 MB made by a replacement function
-- known from: own
-- expect: error longer than
local y = ("y"):rep(1000) local s = ("x"):rep(100000):gsub("x", function() return y end)
return {}
