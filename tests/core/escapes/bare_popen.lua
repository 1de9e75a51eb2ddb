-- SPDX-License-Identifier: Apache-2.0
-- tries: run a program and read what it says
-- known from: Redis CVE-2022-0543
-- expect: error attempt to index
-- bare: killed
local p = io.popen("echo out")
if p and p:read("*l") == "out" then return "escaped" end
