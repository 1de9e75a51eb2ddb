-- ends: error longer than
-- SPDX-License-Identifier: Apache-2.0
local y = ("y"):rep(1000) local s = ("x"):rep(100000):gsub("x", function() return y end)
return {}
