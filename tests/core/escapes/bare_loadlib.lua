-- SPDX-License-Identifier: Apache-2.0
-- tries: load a library of the host by package.loadlib
-- known from: Redis CVE-2022-0543
-- expect: error attempt to index
-- bare: lean
local open = package.loadlib("libresolv.so.2", "*")
if open then return "escaped" end
