-- SPDX-License-Identifier: Apache-2.0
--- Checks values from outside against a declaration, and says in words what is wrong where.
--- A declaration is a JSON Schema in Lua, of these keywords: type (string, integer, number, boolean, object,
--- array, any), nullable, enum, minLength, maxLength (characters), minimum, maximum, format, items, minItems,
--- maxItems, properties, required (list), additionalProperties (true: anything, schema: each; absent: refused),
--- default, description, check (function(value) -> nil or message; not published).
local clock = require "core.clock"
local json = require "core.json"
local urlencoded = require "lib.urlencoded"

local schema = {}

local MAX_ERRORS = 20

schema.formats = {
  ["date-time"] = { "a time like 2026-11-22T10:00:00Z", function(s) return clock.parse(s) ~= nil end },
  date = { "a date like 2026-11-22", function(s) return s:match("^%d%d%d%d%-%d%d%-%d%d$") ~= nil and clock.parse(s .. "T00:00:00Z") ~= nil end },
  e164 = { "a phone number with + and country code, like +12025550123", function(s) return s:match("^%+[1-9]%d+$") ~= nil and #s <= 16 end },
  email = { "an e-mail address of at most 254 bytes", function(s)
    if #s > 254 then return false end  -- as RFC 5321 has it; columns are made for it
    local name, domain = s:match("^([^%s@<>,;:\"()%c]+)@([%w\128-\255][%w%.%-\128-\255]*)$")
    return name ~= nil and domain:sub(-1) ~= "." and not domain:find("..", 1, true)
  end },
  slug = { "small letters, digits and inner hyphens, beginning with a letter", function(s)
    return s:match("^%l[%l%d%-]*$") ~= nil and s:sub(-1) ~= "-"
  end },
  hex = { "hex digits, 0-9 and a-f", function(s) return not s:find("[^0-9a-f]") end },
  hash = { "64 hex digits", function(s) return #s == 64 and not s:find("[^0-9a-f]") end },
}

local articles = { string = "a string", number = "a number", boolean = "true or false", object = "an object", array = "a list", null = "null", integer = "a whole number" }

local function kind_of(value)
  if value == nil or value == json.null then return "null" end
  if type(value) ~= "table" then return type(value) end
  return json.is_array(value) and "array" or "object"
end

local function characters(s)
  if not s:find("[\128-\191]") then return #s end
  local _, continuation = s:gsub("[\128-\191]", "")
  return #s - continuation
end

local check_value

-- Not a closure per value: each would be made anew, and ends what the JIT compiler can follow.
local function fail(errors, path, detail)
  errors[#errors + 1] = { pointer = path, detail = detail }
  return nil
end

local function check_string(s, value, path, errors)
  if type(value) ~= "string" then return fail(errors, path, "must be a string, not " .. articles[kind_of(value)]) end
  if not urlencoded.is_text(value) then return fail(errors, path, "must be valid UTF-8 text without NUL") end
  if s.enum then
    for i = 1, #s.enum do
      if s.enum[i] == value then return value end
    end
    return fail(errors, path, "must be one of " .. table.concat(s.enum, ", "))
  end
  -- Counted only where it matters: a file of a bundle is long and has no limit here.
  local length = (s.minLength or s.maxLength) and characters(value)
  if s.minLength and length < s.minLength then
    return fail(errors, path, s.minLength == 1 and "must not be empty" or ("must have at least %d characters"):format(s.minLength))
  end
  if s.maxLength and length > s.maxLength then return fail(errors, path, ("must have at most %d characters, has %d"):format(s.maxLength, length)) end
  local format = s.format and schema.formats[s.format]
  if format and not format[2](value) then return fail(errors, path, "must be " .. format[1]) end
  return value
end

local function range_text(s)
  if s.minimum and s.maximum then return (" from %s to %s"):format(s.minimum, s.maximum) end
  if s.minimum then return (" of at least %s"):format(s.minimum) end
  if s.maximum then return (" of at most %s"):format(s.maximum) end
  return ""
end

local function is_number(s, value)
  if value ~= value or value == math.huge or value == -math.huge then return false end
  if s.type == "integer" and (value % 1 ~= 0 or math.abs(value) > 2 ^ 53) then return false end
  return not ((s.minimum and value < s.minimum) or (s.maximum and value > s.maximum))
end

local function check_number(s, value, path, errors)
  local is_any = type(value) == "number"
  if not is_any or not is_number(s, value) then
    return fail(errors, path, "must be " .. articles[s.type] .. range_text(s) .. (is_any and "" or ", not " .. articles[kind_of(value)]))
  end
  return value
end

local function escape(name)
  if not name:find("[~/]") then return name end
  return (name:gsub("~", "~0"):gsub("/", "~1"))
end

local function known_names(properties)
  local names = {}
  for name in pairs(properties) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

local function check_object(s, value, path, errors)
  if kind_of(value) ~= "object" then return fail(errors, path, "must be an object, not " .. articles[kind_of(value)]) end
  local properties = s.properties or {}
  local result = {}
  for name, member in pairs(value) do
    local declared = properties[name]
    if declared == nil and type(s.additionalProperties) == "table" then declared = s.additionalProperties end
    if declared then
      result[name] = check_value(declared, member, path .. "/" .. escape(tostring(name)), errors)
    elseif s.additionalProperties == true then
      result[name] = member
    else
      errors[#errors + 1] = { pointer = path .. "/" .. escape(tostring(name)),
        detail = next(properties) and "is not known here; known are " .. known_names(properties) or "is not known here; no members are" }
    end
  end
  for _, name in ipairs(s.required or {}) do
    if value[name] == nil then errors[#errors + 1] = { pointer = path .. "/" .. escape(name), detail = "is missing" } end
  end
  for name, declared in pairs(properties) do
    if result[name] == nil and value[name] == nil and declared.default ~= nil then result[name] = declared.default end
  end
  return result
end

local function check_array(s, value, path, errors)
  if kind_of(value) ~= "array" then return fail(errors, path, "must be a list, not " .. articles[kind_of(value)]) end
  if s.minItems and #value < s.minItems then return fail(errors, path, ("must have at least %d items"):format(s.minItems)) end
  if s.maxItems and #value > s.maxItems then return fail(errors, path, ("must have at most %d items, has %d"):format(s.maxItems, #value)) end
  local result = {}
  for i = 1, #value do
    if #errors >= MAX_ERRORS then break end
    result[i] = s.items and check_value(s.items, value[i], path .. "/" .. (i - 1), errors) or value[i]
  end
  return json.array(result)
end

function check_value(s, value, path, errors)
  if #errors >= MAX_ERRORS then return nil end
  if value == json.null then
    if s.nullable or s.type == "any" then return value end
    return fail(errors, path, "must not be null")
  end
  local result
  if s.type == "string" then result = check_string(s, value, path, errors)
  elseif s.type == "number" or s.type == "integer" then result = check_number(s, value, path, errors)
  elseif s.type == "boolean" then
    if type(value) ~= "boolean" then return fail(errors, path, "must be true or false, not " .. articles[kind_of(value)]) end
    result = value
  elseif s.type == "object" then result = check_object(s, value, path, errors)
  elseif s.type == "array" then result = check_array(s, value, path, errors)
  else result = value end
  if result ~= nil and s.check then
    local message = s.check(result)
    if message then return fail(errors, path, message) end
  end
  return result
end

--- Checks a decoded JSON value.
--- @return any value  with defaults filled in; members that are null and may be are json.null
--- @return table|nil errors  list of { pointer, detail }
function schema.check(declared, value)
  local errors = {}
  local result = check_value(declared, value, "#", errors)
  if #errors > 0 then return nil, errors end
  return result
end

-- Text from a path or a query to the declared type; what does not convert stays text and fails the check.
local function converted(s, text)
  if s.type == "integer" or s.type == "number" then
    if text:match("^-?%d+%.?%d*$") then return tonumber(text) end
  elseif s.type == "boolean" then
    if text == "true" then return true end
    if text == "false" then return false end
  elseif s.type == "array" then
    local list = json.array({})
    for item in text:gmatch("[^,]+") do list[#list + 1] = converted(s.items, item) end
    return list
  end
  return text
end

--- Checks named text values (path or query parameters) against an object declaration.
--- @return table|nil values, table|nil errors  list of { parameter, detail }
function schema.check_parameters(declared, values)
  local typed = {}
  local properties = declared.properties or {}
  for name, text in pairs(values) do
    if properties[name] then typed[name] = converted(properties[name], text) else typed[name] = text end
  end
  local result, errors = schema.check(declared, typed)
  if not errors then return result end
  for i, e in ipairs(errors) do
    local name = e.pointer:sub(3):gsub("~1", "/"):gsub("~0", "~")
    errors[i] = { parameter = name, detail = e.detail }
  end
  return nil, errors
end

--- Builds an object declaration with less to write.
function schema.object(properties, required)
  return { type = "object", properties = properties, required = required }
end

return schema
