-- SPDX-License-Identifier: Apache-2.0
-- tries: pcall chains that end in an iterator, of every length
-- known from: LuaJIT#1048
-- expect: ok yes
for n = 1, 245 do
  local list = {}
  for i = 1, n do list[i] = pcall end
  list[n + 1], list[n + 2] = pairs, {}
  pcall(unpack(list))
end
return "yes"
