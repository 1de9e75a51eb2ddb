-- SPDX-License-Identifier: Apache-2.0
-- tries: a comparator that changes the list being sorted
-- known from: Lua 5.1's sort
-- expect: ok
local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function(a, b) t[#t] = nil t[1] = {} return a < b end)
return {}
