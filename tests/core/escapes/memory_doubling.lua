-- ends: memory
-- SPDX-License-Identifier: Apache-2.0
local s = ("x"):rep(1000000) while true do s = s .. s end
return {}
