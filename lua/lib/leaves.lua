-- SPDX-License-Identifier: Apache-2.0
--- What a value as JSON knows them holds besides its objects and lists.
local leaves = {}

--- The value with each of its leaves as a function gives it, fn(leaf) -> leaf. Where that changes nothing the value comes back itself, and so do its parts.
function leaves.changed(value, fn)
  if type(value) ~= "table" then return fn(value) end
  local copy
  for key, item in pairs(value) do
    local own = leaves.changed(item, fn)
    if own ~= item then
      if not copy then
        copy = setmetatable({}, getmetatable(value))
        for k, v in pairs(value) do copy[k] = v end
      end
      copy[key] = own
    end
  end
  return copy or value
end

return leaves
