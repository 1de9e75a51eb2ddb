-- SPDX-License-Identifier: Apache-2.0
-- tries: spin while a file is loaded, caught
-- known from: own
-- expect: cpu
local function spin() while true do end end
pcall(function() pcall(spin) end)
while true do pcall(spin) end
