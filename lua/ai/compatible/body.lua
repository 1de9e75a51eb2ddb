-- SPDX-License-Identifier: Apache-2.0
--- Reads fields of a body that anybody may have written: each function gives the type it names, nil for what is absent or null, or
--- raises what is wrong where.
local errors = require "ai.compatible.errors"
local json = require "core.json"
local urlencoded = require "lib.urlencoded"

local body = {}

local function value_at(of, key)
  local value = of[key]
  if value == json.null then return nil end
  return value
end
body.value = value_at

local function name_of(where, key)
  return where and where .. "." .. key or key
end

--- Whether a value is text in UTF-8.
function body.is_text(value)
  return type(value) == "string" and urlencoded.is_text(value)
end

function body.text(of, key, where)
  local value = value_at(of, key)
  if value == nil or body.is_text(value) then return value end
  local param = name_of(where, key)
  errors.refuse(param, ("'%s' must be a string of UTF-8 without NUL."):format(param), "invalid_type")
end

function body.boolean(of, key, where)
  local value = value_at(of, key)
  if value == nil or type(value) == "boolean" then return value end
  local param = name_of(where, key)
  errors.refuse(param, ("'%s' must be true or false."):format(param), "invalid_type")
end

function body.number(of, key, least, most, whole)
  local value = value_at(of, key)
  if value == nil then return nil end
  if type(value) ~= "number" or value ~= value or value < least or value > most or whole and value % 1 ~= 0 then
    errors.refuse(key, ("'%s' must be a %snumber from %g to %g."):format(key, whole and "whole " or "", least, most))
  end
  return value
end

function body.object(of, key, where)
  local value = value_at(of, key)
  if value == nil or type(value) == "table" and not json.is_array(value) then return value end
  local param = name_of(where, key)
  errors.refuse(param, ("'%s' must be an object."):format(param), "invalid_type")
end

--- A list of objects.
function body.list(of, key, where)
  local value = value_at(of, key)
  if value == nil then return nil end
  local param = name_of(where, key)
  if type(value) ~= "table" or not json.is_array(value) then errors.refuse(param, ("'%s' must be a list."):format(param), "invalid_type") end
  for i, item in ipairs(value) do
    if type(item) ~= "table" or json.is_array(item) then
      errors.refuse(("%s[%d]"):format(param, i - 1), ("'%s[%d]' must be an object."):format(param, i - 1), "invalid_type")
    end
  end
  return value
end

--- One of the words of a list, or nil.
function body.word(of, key, words)
  local value = value_at(of, key)
  if value == nil then return nil end
  for _, word in ipairs(words) do
    if word == value then return value end
  end
  errors.refuse(key, ("'%s' must be one of %s."):format(key, table.concat(words, ", ")))
end

return body
