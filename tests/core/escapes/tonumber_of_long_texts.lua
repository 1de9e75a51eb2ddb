-- SPDX-License-Identifier: Apache-2.0
-- tries: numbers with a million digits
-- known from: own
-- expect: ok yes
local _ = tonumber(("9"):rep(1e6)), tonumber("0x" .. ("f"):rep(1e6)), tonumber("0." .. ("0"):rep(1e6) .. "1")
pcall(tonumber, ("z"):rep(1e6), 36) pcall(tonumber, "1", 1) pcall(tonumber, "1", 37) pcall(tonumber, "1", -2 ^ 31)
_ = tonumber("1e" .. ("9"):rep(1e5)), tonumber((" "):rep(1e6) .. "1"), tonumber("1" .. ("\0"):rep(1e6))
return "yes"
