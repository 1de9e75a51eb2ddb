-- SPDX-License-Identifier: Apache-2.0
--- Strict schemas: an object closed, each of its properties required, each schema with a type, and of the keywords those below. A schema that
--- is not so is refused with 400, which would fail the whole request; it is sent as not strict instead.
local strict = {}

local function set(words)
  local out = {}
  for word in words:gmatch("%S+") do out[word] = true end
  return out
end

local KNOWN = set[[type description title properties required additionalProperties items enum const anyOf $ref $defs definitions pattern format multipleOf
  minimum maximum exclusiveMinimum exclusiveMaximum minItems maxItems]]
local SAYS_NOTHING = set "$schema $id $comment default examples deprecated readOnly writeOnly"  -- may be left out
local FORMATS = set "date-time time date duration email hostname ipv4 ipv6 uuid"
local DEEPEST = 32

local close

local function closed_object(schema, out, depth)
  if schema.additionalProperties ~= nil and schema.additionalProperties ~= false then return nil end
  local required, properties = {}, type(schema.properties) == "table" and schema.properties or {}
  for _, name in ipairs(type(schema.required) == "table" and schema.required or {}) do required[name] = true end
  for name in pairs(properties) do
    if not required[name] then return nil end
  end
  out.properties = {}
  for name, inner in pairs(properties) do
    out.properties[name] = close(inner, depth + 1)
    if not out.properties[name] then return nil end
  end
  -- What was left open may be closed: whatever fits the closed schema fits the open one.
  out.additionalProperties = false
  return out
end

local function closed_members(members, depth)
  local out = {}
  for name, inner in pairs(members) do
    out[name] = close(inner, depth + 1)
    if not out[name] then return nil end
  end
  return out
end

function close(schema, depth)
  if type(schema) ~= "table" or depth > DEEPEST then return nil end
  if schema.type == nil and schema.anyOf == nil and schema["$ref"] == nil then return nil end
  if schema.format ~= nil and not FORMATS[schema.format] then return nil end
  local out = {}
  for name, value in pairs(schema) do
    if KNOWN[name] then
      out[name] = value
    elseif not SAYS_NOTHING[name] then
      return nil
    end
  end
  for _, name in ipairs{ "$defs", "definitions", "anyOf" } do
    if type(schema[name]) == "table" then
      out[name] = closed_members(schema[name], depth)
      if not out[name] then return nil end
    end
  end
  if schema.items ~= nil then
    out.items = close(schema.items, depth + 1)
    if not out.items then return nil end
  end
  if schema.type == "object" or type(schema.properties) == "table" then return closed_object(schema, out, depth) end
  -- Of a type that may be an object among others, the object could not be closed unseen.
  for _, one in ipairs(type(schema.type) == "table" and schema.type or {}) do
    if one == "object" then return closed_object(schema, out, depth) end
  end
  return out
end

--- The schema as strict mode wants it, or nil when it cannot be without another meaning. The schema given stays as it is.
--- @param schema table  a JSON Schema
function strict.close(schema)
  if schema.type ~= "object" or schema.anyOf ~= nil then return nil end
  return close(schema, 1)
end

return strict
