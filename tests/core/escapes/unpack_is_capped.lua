-- SPDX-License-Identifier: Apache-2.0
-- tries: unpack of ten million values
-- known from: Redis CVE-2025-46817, luanti#9350
-- expect: error too many results
unpack({}, 1, 1e7)
return {}
