-- SPDX-License-Identifier: Apache-2.0
--- JSON Schema as Claude's constrained decoding takes it: objects are closed, and limits that it does not know are told in the description instead
--- of being refused with 400, as the anthropic package does (lib/_parse/_transform.py). The caller's own check of the answer still holds them.
local json = require "core.json"

local strict_schema = {}

local KEPT = { type = true, enum = true, const = true, title = true, default = true, ["$ref"] = true, required = true }
local ONE = { items = true }
local LIST = { anyOf = true, allOf = true }
local MAP = { properties = true, ["$defs"] = true, definitions = true }
local FORMATS = {
  ["date-time"] = true, time = true, date = true, duration = true, email = true, hostname = true, uri = true, ipv4 = true, ipv6 = true, uuid = true,
}

local function is_kept(name, value)
  if name == "format" then return FORMATS[value] end
  if name == "minItems" then return value == 0 or value == 1 end
  return KEPT[name]
end

--- The schema, made over; the one given is not changed.
function strict_schema.of(schema)
  if type(schema) ~= "table" then return schema end
  local out, told = {}, {}
  for name, value in pairs(schema) do
    if ONE[name] then
      out[name] = strict_schema.of(value)
    elseif (LIST[name] or name == "oneOf") and type(value) == "table" then
      local list = json.array{}
      for i, one in ipairs(value) do list[i] = strict_schema.of(one) end
      out[name == "oneOf" and "anyOf" or name] = list
    elseif MAP[name] and type(value) == "table" then
      local map = {}
      for key, one in pairs(value) do map[key] = strict_schema.of(one) end
      out[name] = map
    elseif is_kept(name, value) then
      out[name] = value
    elseif name ~= "description" and name ~= "additionalProperties" and name ~= "$schema" and name ~= "$id" then
      told[#told + 1] = name .. ": " .. json.encode({ value }):sub(2, -2)
    end
  end
  if out.properties or schema.type == "object" then out.additionalProperties = false end
  table.sort(told)  -- the same text each time, or the prompt cache misses
  local description = schema.description
  if #told > 0 then description = (description and description .. "\n\n" or "") .. "{" .. table.concat(told, ", ") .. "}" end
  out.description = description
  return out
end

local function any(list, test)
  for _, one in pairs(type(list) == "table" and list or {}) do
    if test(one) then return true end
  end
  return false
end

--- Whether a schema has objects with names of the caller's choosing (a map, a free form). Closed they would be empty: such a tool is better not strict.
function strict_schema.is_open(schema)
  if type(schema) ~= "table" then return false end
  if type(schema.additionalProperties) == "table" or schema.additionalProperties == true or schema.patternProperties then return true end
  if schema.type == "object" and not schema.properties and schema.additionalProperties == nil then return true end
  for name in pairs(MAP) do
    if any(schema[name], strict_schema.is_open) then return true end
  end
  for name in pairs(LIST) do
    if any(schema[name], strict_schema.is_open) then return true end
  end
  return any(schema.oneOf, strict_schema.is_open) or strict_schema.is_open(schema.items)
end

return strict_schema
