-- SPDX-License-Identifier: Apache-2.0
-- tries: cdata by tonumber
-- known from: own
-- expect: ok yes
for _, text in ipairs { "1LL", "1ULL", "1i", "0x1p99999LL", "1e5i" } do assert(tonumber(text) == nil, text) end
return "yes"
