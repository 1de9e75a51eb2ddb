-- SPDX-License-Identifier: Apache-2.0
--- Reads the fields of providers' JSON. Whatever stands there, each function gives the type it names, or nothing:
--- an adapter that reads only through these cannot be made to raise by what a server sends.
local json = require "core.json"
local text = require "lib.text"

local fields = {}

--- The object at a key of an object, or an empty one.
function fields.object(of, key)
  local value = type(of) == "table" and of[key]
  return type(value) == "table" and value or {}
end

--- The text at a key, or nil.
function fields.text(of, key)
  local value = type(of) == "table" and of[key]
  return type(value) == "string" and value or nil
end

--- The count at a key: a whole number, zero or more, or nil. What is none never reaches a sum of money.
function fields.count(of, key)
  local value = type(of) == "table" and of[key]
  if type(value) ~= "number" or value ~= value or value < 0 or value > 2 ^ 53 then return nil end
  return math.floor(value)
end

--- Text from outside as one line of a log: UTF-8, without control characters, at most so many bytes.
function fields.line(value, bytes)
  return (text.clean(value:sub(1, bytes + 4), bytes):gsub("%c", " "))
end

--- A header's value, whatever the case of its name, or nil.
--- @param name string  in lower case
function fields.header(headers, name)
  if headers[name] ~= nil then return headers[name] end
  for key, value in pairs(headers) do
    if key:lower() == name then return value end
  end
  return nil
end

--- What a message says: text, or the texts of a list of parts, as some servers send it; nil when it says nothing.
function fields.content(of, key)
  local value = type(of) == "table" and of[key]
  if type(value) == "string" then return value ~= "" and value or nil end
  if type(value) ~= "table" then return nil end
  local texts = {}
  for _, part in ipairs(value) do texts[#texts + 1] = fields.text(part, "text") end
  local joined = table.concat(texts)
  return joined ~= "" and joined or nil
end

--- A usage event. What lies within a sum is never more than the sum, so that no part can cost less than nothing.
--- @param input number  all of it, what the cache gave and took included
function fields.usage(input, cached, written, output, reasoning)
  input, output = input or 0, output or 0
  cached = math.min(cached or 0, input)
  return {
    type = "usage", input = input, cached = cached, written = math.min(written or 0, input - cached), written_1h = 0,
    output = output, reasoning = math.min(reasoning or 0, output),
  }
end

--- The arguments of a tool call, and whether they are what a tool can be called with: a JSON object.
--- Nothing at all is how models call a tool without parameters, unless the answer was cut there.
function fields.arguments(json_text, cut)
  if json_text:find("^%s*$") and not cut then return "{}", true end
  if not json_text:find("^%s*{") then return json_text, false end
  return json_text, type((json.decode(json_text))) == "table"
end

return fields
