-- ends: error longer than
-- SPDX-License-Identifier: Apache-2.0
local s = ("x"):rep(16 * 1024 * 1024)
return {}
