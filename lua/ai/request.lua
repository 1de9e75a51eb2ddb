-- SPDX-License-Identifier: Apache-2.0
--- What a model is asked, in the one form that all adapters write from. Whoever asks (a flow, the API) may send anything; what leaves
--- here is UTF-8, of bounded size, and a conversation that every provider takes: each tool result answers a call just before it.
---
--- A request: { messages = { { role = "user"|"assistant"|"tool", text, tool_calls = { { id, name, arguments = JSON text } }, tool_call_id, is_error } },
---   system, tools = { { name, description, parameters = JSON Schema, strict } }, tool_choice = "auto"|"none"|"required"|{ name },
---   parallel_tools, schema = { name, schema, strict }, max_tokens, temperature, top_p, stop, seed, prompt_cache, cache_key, effort,
---   extras = { [kind] = fields of that provider's body } }
local text = require "lib.text"

local request = {}

local MOST = { messages = 2000, bytes = 4 * 1024 * 1024, tools = 128, calls = 128, stop = 16, name = 64, id = 512 }
local BYTES_A_TOKEN = 3  -- fewer than the four of English prose: code, JSON and other scripts need more tokens for the same bytes

local EFFORTS = { none = true, minimal = true, low = true, medium = true, high = true, xhigh = true, max = true }

-- A refusal is thrown as a table and caught in check(): the form is deep, and each level would only hand it on.
local Refusal = {}
local function refuse(form, ...) error(setmetatable({ text = form:format(...) }, Refusal), 0) end

local function string_at(of, key, where, most)
  local value = of[key]
  if value == nil then return nil end
  if type(value) ~= "string" then refuse("%s.%s must be text", where, key) end
  if most and #value > most then refuse("%s.%s has more than %d bytes", where, key, most) end
  return text.clean(value, #value)
end

local function boolean_at(of, key, where)
  local value = of[key]
  if value ~= nil and type(value) ~= "boolean" then refuse("%s.%s must be true or false", where, key) end
  return value
end

local function number_at(of, key, least, most, whole)
  local value = of[key]
  if value == nil then return nil end
  if type(value) ~= "number" or value ~= value or value < least or value > most or (whole and value % 1 ~= 0) then
    refuse("%s must be a%s number from %s to %s", key, whole and " whole" or "", tostring(least), tostring(most))
  end
  return value
end

local function list_at(of, key, where, most)
  local value = of[key]
  if value == nil then return {} end
  if type(value) ~= "table" then refuse("%s.%s must be a list", where, key) end
  if #value > most then refuse("%s.%s has more than %d entries", where, key, most) end
  for i, item in ipairs(value) do
    if type(item) ~= "table" then refuse("%s.%s[%d] must be an object", where, key, i) end
  end
  return value
end

local function name_at(of, where)
  local name = of.name
  if type(name) ~= "string" or not name:find("^[%w_%-]+$") or #name > MOST.name then
    refuse("%s.name must be 1 to %d letters, digits, _ or -", where, MOST.name)
  end
  return name
end

local function id_at(of, key, where)
  local id = string_at(of, key, where, MOST.id)
  if not id or id == "" then refuse("%s.%s is missing", where, key) end
  return id
end

local function calls_of(message, where)
  local calls, seen = {}, {}
  for i, call in ipairs(list_at(message, "tool_calls", where, MOST.calls)) do
    local here = ("%s.tool_calls[%d]"):format(where, i)
    local id = id_at(call, "id", here)
    if seen[id] then refuse("%s.id is that of another call", here) end
    seen[id] = true
    calls[i] = { id = id, name = name_at(call, here), arguments = string_at(call, "arguments", here) or "{}", provider_data = call.provider_data }
  end
  return calls
end

-- A call whose result never came would be refused by most providers: the model is told that there is none.
local function answer_open(messages, open)
  for _, id in ipairs(open.order) do
    if open[id] then messages[#messages + 1] = { role = "tool", tool_call_id = id, text = "no result", is_error = true } end
  end
  return { order = {} }
end

local places = {}  -- the names of the first messages: each request has them

local function place_of(i)
  local name = places[i]
  if not name then
    name = ("messages[%d]"):format(i)
    if i <= 100 then places[i] = name end
  end
  return name
end

local function messages_of(given)
  if type(given.messages) ~= "table" or #given.messages == 0 then refuse("messages must be a list of at least one message") end
  local messages, open = {}, { order = {} }
  for i, message in ipairs(list_at(given, "messages", "request", MOST.messages)) do
    local where = place_of(i)
    local said = string_at(message, "text", where)
    if message.role == "tool" then
      local id = id_at(message, "tool_call_id", where)
      if not open[id] then refuse("%s is the result of a call that the message before does not make", where) end
      open[id] = nil
      messages[#messages + 1] = { role = "tool", tool_call_id = id, text = said or "", is_error = boolean_at(message, "is_error", where) }
    elseif message.role == "assistant" or message.role == "user" then
      open = answer_open(messages, open)
      local clean = { role = message.role, text = said or "", provider_data = message.provider_data }
      if message.role == "assistant" then
        local calls = calls_of(message, where)
        if #calls > 0 then clean.tool_calls = calls end
        for _, call in ipairs(calls) do
          open[call.id] = true
          open.order[#open.order + 1] = call.id
        end
      elseif message.tool_calls ~= nil then
        refuse("%s: only an assistant calls tools", where)
      end
      messages[#messages + 1] = clean
    else
      refuse("%s.role must be user, assistant or tool", where)
    end
  end
  answer_open(messages, open)
  return messages
end

local function tools_of(given)
  local tools, seen = {}, {}
  for i, tool in ipairs(list_at(given, "tools", "request", MOST.tools)) do
    local where = ("tools[%d]"):format(i)
    local name = name_at(tool, where)
    if seen[name] then refuse("%s.name is that of another tool", where) end
    seen[name] = true
    if tool.parameters ~= nil and type(tool.parameters) ~= "table" then refuse("%s.parameters must be a JSON Schema", where) end
    tools[i] = { name = name, description = string_at(tool, "description", where), parameters = tool.parameters, strict = boolean_at(tool, "strict", where) }
  end
  return #tools > 0 and tools or nil, seen
end

local function choice_of(choice, known)
  if choice == nil or choice == "auto" or choice == "none" then return next(known) and choice or nil end
  if choice == "required" then
    if next(known) == nil then refuse("tool_choice is required, and there are no tools") end
    return choice
  end
  if type(choice) ~= "table" or not known[choice.name] then refuse("tool_choice must be auto, none, required or { name = one of the tools }") end
  return { name = choice.name }
end

local function schema_of(given)
  local schema = given.schema
  if schema == nil then return nil end
  if type(schema) ~= "table" or type(schema.schema) ~= "table" then refuse("schema must be { name =, schema = JSON Schema }") end
  return { name = schema.name ~= nil and name_at(schema, "schema") or "answer", schema = schema.schema, strict = boolean_at(schema, "strict", "schema") }
end

local function stop_of(given)
  local stop = given.stop
  if stop == nil then return nil end
  if type(stop) == "string" then stop = { stop } end
  if type(stop) ~= "table" or #stop > MOST.stop then refuse("stop must be a list of at most %d texts", MOST.stop) end
  local list = {}
  for i = 1, #stop do
    if type(stop[i]) ~= "string" or stop[i] == "" then refuse("stop[%d] must be text", i) end
    list[i] = text.clean(stop[i], 1000)
  end
  return #list > 0 and list or nil
end

local function extras_of(given)
  if given.extras == nil then return nil end
  if type(given.extras) ~= "table" then refuse("extras must be an object by kind of provider") end
  for kind, fields in pairs(given.extras) do
    if type(kind) ~= "string" or type(fields) ~= "table" then refuse("extras must be an object by kind of provider") end
  end
  return given.extras
end

local function effort_of(given)
  if given.effort ~= nil and not EFFORTS[given.effort] then refuse("effort must be none, minimal, low, medium, high, xhigh or max") end
  return given.effort
end

local function checked(given)
  if type(given) ~= "table" then refuse("a request must be an object") end
  local messages, system, tools, known = messages_of(given), string_at(given, "system", "request"), tools_of(given)
  local clean = {
    messages = messages, system = system, tools = tools, tool_choice = choice_of(given.tool_choice, known), parallel_tools = boolean_at(given, "parallel_tools", "request"),
    schema = schema_of(given), max_tokens = number_at(given, "max_tokens", 1, 1e6, true), temperature = number_at(given, "temperature", 0, 2),
    top_p = number_at(given, "top_p", 0, 1), seed = number_at(given, "seed", -2 ^ 53, 2 ^ 53, true), stop = stop_of(given),
    prompt_cache = boolean_at(given, "prompt_cache", "request"), cache_key = string_at(given, "cache_key", "request", MOST.id), effort = effort_of(given),
    extras = extras_of(given),
  }
  if request.bytes(clean) > MOST.bytes then refuse("the conversation has more than %d bytes", MOST.bytes) end
  return clean
end

--- The request as adapters take it: a new table; nil, { code = "bad_request", class = "bad_request", text } when it cannot be asked.
function request.check(given)
  local ok, result = pcall(checked, given)
  if ok then return result end
  if getmetatable(result) ~= Refusal then error(result, 0) end
  return nil, { code = "bad_request", class = "bad_request", text = result.text }
end

local function schema_bytes(value, depth)
  if type(value) == "string" then return #value + 3 end
  if type(value) ~= "table" then return 5 end
  if depth > 64 then refuse("a JSON Schema is nested more than 64 levels deep") end
  local bytes = 2
  for key, member in pairs(value) do bytes = bytes + #tostring(key) + 4 + schema_bytes(member, depth + 1) end
  return bytes
end

--- About as many bytes as the model is to read.
function request.bytes(of)
  local bytes = #(of.system or "")
  for _, message in ipairs(of.messages) do
    bytes = bytes + #(message.text or "") + 8
    for _, call in ipairs(message.tool_calls or {}) do bytes = bytes + #call.name + #call.arguments + 16 end
  end
  for _, tool in ipairs(of.tools or {}) do bytes = bytes + #tool.name + #(tool.description or "") + schema_bytes(tool.parameters, 0) end
  if of.schema then bytes = bytes + schema_bytes(of.schema.schema, 0) end
  return bytes
end

--- About as many tokens, rather too many than too few: what limits and budgets reserve before the provider has counted.
function request.tokens(of)
  return math.ceil(request.bytes(of) / BYTES_A_TOKEN)
end

--- The request that asks for the rest of an answer of which this much was said. Where a provider does not go on from an assistant's
--- message by itself, its adapter asks it to.
function request.going_on(of, said)
  local next_one, messages = {}, {}
  for key, value in pairs(of) do next_one[key] = value end
  for i, message in ipairs(of.messages) do messages[i] = message end
  messages[#messages + 1] = { role = "assistant", text = said }
  next_one.messages = messages
  return next_one
end

return request
