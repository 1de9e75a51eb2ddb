-- SPDX-License-Identifier: Apache-2.0
-- tries: read a file of the host
-- known from: every host that opens io
-- expect: error attempt to index
-- bare: lean
local f = io.open("/etc/passwd")
if f and f:read("*l") then return "escaped" end
