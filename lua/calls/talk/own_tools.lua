-- SPDX-License-Identifier: Apache-2.0
--- Tools that a script gave to its conversation: how a model is told of one, what it may be given, and running it where its function is.
local asks = require "calls.talk.asks"
local json = require "core.json"
local text_of = require "lib.text"

local own_tools = {}

local WAIT_MS = 9000               -- less than a model's round has for a tool
local TEXT_MAX, RESULT_MAX = 2000, 8 * 1024

local declarations = setmetatable({}, { __mode = "k" })  -- tool as a model is told of it -> as the script gave it

--- As a model is told of it.
--- @param given table  of the gate: { name, description, parameters = name -> { type, description, enum, optional } }
function own_tools.tool(given)
  local properties, required = {}, json.array()
  for name, parameter in pairs(given.parameters) do
    properties[name] = { type = parameter.type, description = parameter.description, enum = parameter.enum and json.array(parameter.enum) }
    if not parameter.optional then required[#required + 1] = name end
  end
  table.sort(required)
  local tool = { name = given.name, description = given.description,
    parameters = { type = "object", properties = properties, required = required, additionalProperties = false } }
  declarations[tool] = given
  return tool
end

function own_tools.is(tool) return declarations[tool] ~= nil end

local function is_whole(number) return number == math.floor(number) and math.abs(number) < 2 ^ 53 end

-- The value as its type, or nil.
local function as(parameter, value)
  local kind = parameter.type
  if kind == "string" then
    if type(value) == "number" then value = json.encode(value) end
    return type(value) == "string" and text_of.clean(value, TEXT_MAX) or nil
  elseif kind == "boolean" then
    if type(value) == "boolean" then return value end
    return nil
  end
  local number = tonumber(value)
  if not number or number ~= number or math.abs(number) == math.huge or kind == "integer" and not is_whole(number) then return nil end
  return number
end

local function is_among(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

--- What its function is given: the declared parameters and no others; or nil, and what the model did wrong.
function own_tools.arguments(tool, given)
  local checked, parameters = {}, declarations[tool].parameters
  for name, parameter in pairs(parameters) do
    local value = given[name]
    if value == nil or value == json.null then
      if not parameter.optional then return nil, name .. " is missing" end
    else
      value = as(parameter, value)
      if value == nil then return nil, ("%s must be %s %s"):format(name, parameter.type == "integer" and "an" or "a", parameter.type) end
      if parameter.enum and not is_among(parameter.enum, value) then return nil, ("%s must be one of %s"):format(name, table.concat(parameter.enum, ", ")) end
      checked[name] = value
    end
  end
  return checked
end

--- What a model is told of what the function gave: table; or nil, err, as tools.run.
function own_tools.result(told)
  if told.broke then return nil, { code = "failed", text = "something went wrong on our side" } end
  if told.refused then return nil, { code = "invalid", text = text_of.clean(told.refused, TEXT_MAX) } end
  local result = { result = told.value, bound = true }  -- whatever it did cannot be undone
  if told.value == nil then result.result = "done" end
  local ok, text = pcall(json.encode, result)
  if not ok or #text > RESULT_MAX then return nil, { code = "failed", text = "it gave back more than can be told" } end
  return result
end

--- Runs it: as tools.run. Waits.
--- @param talk table  { asks = of calls.talk.asks, said_now = what the caller said in this turn | nil, steps_now = where that turn notes
---   what came of it }
function own_tools.run(talk, tool, given)
  if not talk.asks then return nil, { code = "failed", text = "its script cannot be asked here" } end
  local checked, problem = own_tools.arguments(tool, given)
  if not checked then return nil, { code = "invalid", text = problem } end
  local told, err = talk.asks:ask({ tool = tool.name, given = checked, said = talk.said_now, steps = talk.steps_now }, WAIT_MS)
  if not told then return nil, err end
  return own_tools.result(told)
end

-- The messages of one: it was done, and must not be done again.
local function steps_of(one)
  local result, err = own_tools.result(one)
  local id = "taken_up_" .. one.id
  return {
    { role = "assistant", text = "", tool_calls = { { id = id, name = one.tool, arguments = json.encode(one.given) } } },
    { role = "tool", tool_call_id = id, text = json.encode(result or { error = err.text }), is_error = not result or nil },
  }
end

--- Has the history know of those that a predecessor had run in a turn that he did not come to the end of, each as a turn: one too large is left out alone.
--- @param kept table      kept.asks: of asks:kept(), or nil
--- @param told table|nil  the answer to the one that was open, which came to us
function own_tools.take_up(history, kept, told)
  local said
  for _, one in ipairs(asks.answered(kept, told)) do
    if one.tool then
      history:add(one.said ~= said and one.said or nil, steps_of(one), "", false)
      said = one.said
    end
  end
end

return own_tools
