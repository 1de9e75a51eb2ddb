-- SPDX-License-Identifier: Apache-2.0
--- The text keys of a table in their order, for texts that people read.
return function(map)
  local list = {}
  for name in pairs(map) do list[#list + 1] = name end
  table.sort(list)
  return list
end
