-- ends: error longer than
-- SPDX-License-Identifier: Apache-2.0
local s = ("x"):rep(100000):gsub("x", ("y"):rep(1000))
return {}
