-- SPDX-License-Identifier: Apache-2.0
--- A caller's own fields for one provider, put into the body of a request last, so that what a provider has added works before we know of it.
local json = require "core.json"

local extras = {}

--- Puts fields into a body: objects are joined, anything else takes the place of what was there. Changes the body, never the extras.
--- @param body table
--- @param own table|nil
--- @param kept table|nil  fields of the body, and of objects in it, that stay as they are: { model = true, generationConfig = { candidateCount = true } },
---   for they are what was priced and what the answer is read by
function extras.put(body, own, kept)
  for name, value in pairs(own or {}) do
    local keep = kept and kept[name]
    if keep ~= true then
      local joins = type(value) == "table" and not json.is_array(value)
      if joins then
        local there = body[name]
        local object = {}
        if type(there) == "table" and not json.is_array(there) then
          for key, was in pairs(there) do object[key] = was end
        end
        extras.put(object, value, keep)
        body[name] = object
      else
        body[name] = value
      end
    end
  end
end

return extras
