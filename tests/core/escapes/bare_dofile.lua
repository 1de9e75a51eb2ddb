-- SPDX-License-Identifier: Apache-2.0
-- tries: run a file of the host
-- known from: luanti#10162
-- expect: error attempt to call
-- bare: lean
local _, why = pcall(dofile, "/etc/passwd")
if why:find("passwd:1") then return "escaped" end
dofile "/etc/passwd"
