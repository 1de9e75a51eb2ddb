-- ends: error longer than
-- SPDX-License-Identifier: Apache-2.0
local s = ("x"):rep(1e6, ("y"):rep(1000))
return {}
