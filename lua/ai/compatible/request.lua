-- SPDX-License-Identifier: Apache-2.0
--- A body of /v1/chat/completions as a request of ours. Form: the openai package, types/chat/completions. What cannot be kept is refused and
--- never left out in silence; what only an OpenAI-like provider knows travels to it and is not seen by the others.
local body = require "ai.compatible.body"
local errors = require "ai.compatible.errors"
local json = require "core.json"

local request = {}

local MOST_MESSAGES = 2000
local MOST_ID = 64

-- Fields read here; everything else is refused as their API does it.
local KNOWN = {}
for name in ([[model messages tools tool_choice parallel_tool_calls response_format max_tokens max_completion_tokens temperature top_p stop seed stream
  stream_options n user metadata store reasoning_effort prompt_cache_key prompt_cache_retention service_tier frequency_penalty presence_penalty logit_bias logprobs top_logprobs
  modalities verbosity safety_identifier]]):gmatch("%S+") do KNOWN[name] = true end

-- Sent on to who speaks Chat Completions, as they are.
local PASSED = { "frequency_penalty", "presence_penalty", "logit_bias", "verbosity" }

local EFFORTS = { "none", "minimal", "low", "medium", "high", "xhigh" }

local REPLACED = { functions = "tools", function_call = "tool_choice" }

local function check_known(given)
  for name in pairs(given) do
    if REPLACED[name] then errors.refuse(name, ("'%s' is not taken: send '%s'."):format(name, REPLACED[name]), "unsupported_parameter") end
    if not KNOWN[name] then
      name = body.is_text(name) and name:sub(1, 64) or "?"
      errors.refuse(name, ("Unrecognized request argument supplied: %s"):format(name), "unknown_parameter")
    end
  end
  local n = body.number(given, "n", 1, 128, true)
  if n and n ~= 1 then errors.refuse("n", "Only one choice is given: 'n' must be 1.", "unsupported_value") end
  if body.boolean(given, "logprobs") or body.number(given, "top_logprobs", 0, 20, true) then
    errors.refuse("logprobs", "Log probabilities are not given.", "unsupported_parameter")
  end
  local modalities = body.value(given, "modalities")
  if modalities and not (type(modalities) == "table" and #modalities == 1 and modalities[1] == "text") then
    errors.refuse("modalities", "Only text is answered: 'modalities' must be [\"text\"].", "unsupported_value")
  end
end

-- Text, or the texts of a list of parts.
local function content_of(message, where, refusal_too)
  local content = body.value(message, "content")
  if content == nil then return nil end
  if body.is_text(content) then return content end
  where = where .. ".content"
  if type(content) ~= "table" or not json.is_array(content) then errors.refuse(where, ("'%s' must be text or a list of parts."):format(where), "invalid_type") end
  local texts = {}
  for i, part in ipairs(content) do
    local here = ("%s[%d]"):format(where, i - 1)
    if type(part) ~= "table" then errors.refuse(here, ("'%s' must be an object."):format(here), "invalid_type") end
    local kind = body.text(part, "type", here)
    local value
    if kind == "text" then
      value = body.text(part, "text", here)
    elseif kind == "refusal" and refusal_too then
      value = body.text(part, "refusal", here)
    else
      errors.refuse(here .. ".type", ("'%s' cannot be read here: parts of messages must be text."):format(here), "unsupported_value")
    end
    if not value then errors.refuse(here, ("'%s' has no text."):format(here), "missing_required_parameter") end
    texts[i] = value
  end
  return table.concat(texts, "\n")
end

local function calls_of(message, where)
  local calls = {}
  for i, call in ipairs(body.list(message, "tool_calls", where) or {}) do
    local here = ("%s.tool_calls[%d]"):format(where, i - 1)
    if body.text(call, "type", here) ~= "function" then errors.refuse(here .. ".type", ("'%s.type' must be function."):format(here), "unsupported_value") end
    local said = body.object(call, "function", here) or {}
    calls[i] = { id = body.text(call, "id", here), name = body.text(said, "name", here .. ".function"), arguments = body.text(said, "arguments", here .. ".function") }
  end
  return #calls > 0 and calls or nil
end

local places = {}  -- the names of the first messages: each request has them

local function place_of(i)
  local name = places[i]
  if not name then
    name = ("messages[%d]"):format(i - 1)
    if i <= 100 then places[i] = name end
  end
  return name
end

-- Messages, and what the system and developer ones say, together.
local function messages_of(given)
  local list = body.list(given, "messages")
  if not list or #list == 0 then errors.refuse("messages", "'messages' must be a list of at least one message.", "missing_required_parameter") end
  if #list > MOST_MESSAGES then errors.refuse("messages", ("'messages' has more than %d entries."):format(MOST_MESSAGES)) end
  local messages, system = {}, {}
  for i, message in ipairs(list) do
    local where = place_of(i)
    local role = body.text(message, "role", where)
    local said = content_of(message, where, role == "assistant")
    if role == "system" or role == "developer" then
      system[#system + 1] = said
    elseif role == "user" then
      if not said then errors.refuse(where .. ".content", ("'%s.content' is missing."):format(where), "missing_required_parameter") end
      messages[#messages + 1] = { role = "user", text = said }
    elseif role == "assistant" then
      messages[#messages + 1] = { role = "assistant", text = said or body.text(message, "refusal", where), tool_calls = calls_of(message, where) }
    elseif role == "tool" then
      messages[#messages + 1] = { role = "tool", text = said, tool_call_id = body.text(message, "tool_call_id", where) }
    else
      errors.refuse(where .. ".role", ("'%s.role' must be system, developer, user, assistant or tool."):format(where))
    end
  end
  if #messages == 0 then errors.refuse("messages", "'messages' must have one that is not the system's.") end
  return messages, #system > 0 and table.concat(system, "\n\n") or nil
end

local function tools_of(given)
  local tools = {}
  for i, tool in ipairs(body.list(given, "tools") or {}) do
    local where = ("tools[%d]"):format(i - 1)
    if body.text(tool, "type", where) ~= "function" then errors.refuse(where .. ".type", ("'%s.type' must be function."):format(where), "unsupported_value") end
    local said = body.object(tool, "function", where)
    if not said then errors.refuse(where .. ".function", ("'%s.function' is missing."):format(where), "missing_required_parameter") end
    where = where .. ".function"
    tools[i] = { name = body.text(said, "name", where), description = body.text(said, "description", where), parameters = body.object(said, "parameters", where),
      strict = body.boolean(said, "strict", where) }
  end
  return #tools > 0 and tools or nil
end

local function tool_choice_of(given)
  local choice = body.value(given, "tool_choice")
  if choice == nil or choice == "auto" or choice == "none" or choice == "required" then return choice end
  if type(choice) == "table" and choice.type == "function" and type(choice["function"]) == "table" and body.is_text(choice["function"].name) then
    return { name = choice["function"].name }
  end
  errors.refuse("tool_choice", "'tool_choice' must be auto, none, required or name a function.")
end

-- "Any JSON" has no schema: who knows a switch for it gets it, and all are told.
local ANY_JSON = "Answer with one JSON object and nothing else."
local ANY_JSON_EXTRAS = {
  openai_chat = { response_format = { type = "json_object" } }, openai_responses = { text = { format = { type = "json_object" } } },
  gemini = { generationConfig = { responseMimeType = "application/json" } }, ollama = { format = "json" },
}

local function add_format(asked, given)
  local format = body.object(given, "response_format")
  if not format then return end
  local kind = body.text(format, "type", "response_format")
  if kind == "text" then return end
  if kind == "json_object" then
    asked.system = asked.system and asked.system .. "\n\n" .. ANY_JSON or ANY_JSON
    for of, fields in pairs(ANY_JSON_EXTRAS) do
      asked.extras[of] = asked.extras[of] or {}
      for name, value in pairs(fields) do asked.extras[of][name] = value end
    end
    return
  end
  local said = kind == "json_schema" and body.object(format, "json_schema", "response_format")
  if not said then errors.refuse("response_format", "'response_format' must be text, json_object, or json_schema with its json_schema.") end
  local where = "response_format.json_schema"
  local schema = body.object(said, "schema", where)
  if not schema then errors.refuse(where .. ".schema", ("'%s.schema' is missing."):format(where), "missing_required_parameter") end
  asked.schema = { name = body.text(said, "name", where), schema = schema, strict = body.boolean(said, "strict", where) }
end

local function stop_of(given)
  local stop = body.value(given, "stop")
  if stop == nil then return nil end
  if body.is_text(stop) then return { stop } end
  local wrong = type(stop) ~= "table" or not json.is_array(stop) or #stop > 4
  for _, text in ipairs(wrong and {} or stop) do wrong = wrong or not body.is_text(text) or text == "" end
  if wrong then errors.refuse("stop", "'stop' must be a text or a list of at most four.") end
  return #stop > 0 and stop or nil
end

--- The request of ours, and how it is to be answered: { model, stream, usage = in the stream too, call = a call's id or nil }.
--- Raises problems that errors.response() writes.
function request.of(given)
  check_known(given)
  local model = body.text(given, "model")
  if not model or model == "" then errors.refuse("model", "You must provide a model parameter.", "missing_required_parameter") end
  local messages, system = messages_of(given)
  local asked = {
    extras = {}, messages = messages, system = system, tools = tools_of(given), tool_choice = tool_choice_of(given), parallel_tools = body.boolean(given, "parallel_tool_calls"),
    max_tokens = body.number(given, "max_completion_tokens", 1, 1e6, true) or body.number(given, "max_tokens", 1, 1e6, true),
    temperature = body.number(given, "temperature", 0, 2), top_p = body.number(given, "top_p", 0, 1), seed = body.number(given, "seed", -2 ^ 53, 2 ^ 53, true),
    stop = stop_of(given), effort = body.word(given, "reasoning_effort", EFFORTS), cache_key = body.text(given, "prompt_cache_key"),
  }
  local passed = {}
  for _, name in ipairs(PASSED) do passed[name] = body.value(given, name) end
  if next(passed) then asked.extras.openai_chat = passed end
  add_format(asked, given)
  if not next(asked.extras) then asked.extras = nil end
  local shown = body.object(given, "stream_options") or {}
  local metadata = body.object(given, "metadata") or {}
  local call = body.text(metadata, "callId", "metadata")
  if call and #call > MOST_ID then errors.refuse("metadata.callId", ("'metadata.callId' has more than %d bytes."):format(MOST_ID)) end
  return asked, {
    model = model, stream = body.boolean(given, "stream") or false, usage = body.boolean(shown, "include_usage", "stream_options") or false,
    call = call,
  }
end

return request
