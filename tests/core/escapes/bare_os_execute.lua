-- SPDX-License-Identifier: Apache-2.0
-- tries: run a program
-- known from: Redis CVE-2022-0543
-- expect: error attempt to call
-- bare: killed
if os.execute("true") == 0 then return "escaped" end
