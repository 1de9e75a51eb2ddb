-- SPDX-License-Identifier: Apache-2.0
-- tries: resurrect keys and values of weak tables
-- known from: own
-- expect: ok yes
local t, strong = setmetatable({}, { __mode = "k" }), {}
for i = 1, 50000 do
  local k = {}
  t[k] = setmetatable({ k }, t)
  if i % 100 == 0 then strong[#strong + 1] = t[k] end
end
for k, v in next, t do assert(v[1] == k) end
return "yes"
