-- SPDX-License-Identifier: Apache-2.0
--- A canonical request as Gemini's generateContent takes it (googleapis/python-genai, types.py and models.py, version v1beta).
---
--- Flags of a target, all of them optional; what is not said is allowed:
---   allows_temperature = false    the model refuses temperature and topP
---   thinking_mode = "level" | "budget" | "none"   how effort is asked for; without one, effort is left out
---   supports_strict_tools = true  the model knows the mode VALIDATED
---   supports_json_schema = false  the schema is asked for in words
---   needs_signatures = true       calls without a thought signature are refused (Gemini 3): those of other models get one that says so
local extras = require "ai.extras"
local json = require "core.json"

local request = {}

local BASE = "https://generativelanguage.googleapis.com"
local GO_ON = "Your answer breaks off there. Go on with exactly the next word, and repeat nothing of it."
local SCHEMA_IN_WORDS = "Answer with nothing but JSON that satisfies this JSON Schema: "
-- The vendor's documentation of thought signatures names this value for calls that another model made.
local NO_SIGNATURE = "skip_thought_signature_validator"

local LEVELS = { none = "MINIMAL", minimal = "MINIMAL", low = "LOW", medium = "MEDIUM", high = "HIGH", xhigh = "HIGH", max = "HIGH" }
local BUDGETS = { none = 0, minimal = 512, low = 1024, medium = 8192, high = 24576, xhigh = 24576, max = 24576 }

-- What was guarded, and what was priced; and nothing that is kept at the provider, where one key serves many. Both spellings, for the API takes both.
local KEPT = {
  model = true, contents = true, systemInstruction = true, system_instruction = true, cachedContent = true, cached_content = true, store = true,
  continuationToken = true, continuation_token = true, generation_config = true, generationConfig = {
    candidateCount = true, candidate_count = true, maxOutputTokens = true, max_output_tokens = true,
  },
}

-- -- contents -----------------------------------------------------------------------------------------------------------

local function signature_of(data)
  return type(data) == "table" and data.kind == "gemini" and type(data.signature) == "string" and data.signature or nil
end

local function call_part(call, first, flags)
  local args = json.decode(call.arguments or "")
  if type(args) ~= "table" or json.is_array(args) then args = {} end
  -- Of calls made side by side only the first has a signature.
  local signature = signature_of(call.provider_data) or (first and flags.needs_signatures and NO_SIGNATURE) or nil
  return { functionCall = { id = call.id, name = call.name, args = args }, thoughtSignature = signature }
end

local function model_parts(message, flags)
  local parts = {}
  local data, text = message.provider_data, message.text or ""
  local signature = signature_of(data)
  if signature and text ~= "" and data.text == text and not data.apart then
    parts[1] = { text = text, thoughtSignature = signature }
  else
    if text ~= "" then parts[1] = { text = text } end
    -- A signature that came after the text, in a part of its own, goes back so.
    if signature and data.text == text then parts[#parts + 1] = { text = "", thoughtSignature = signature } end
  end
  for i, call in ipairs(message.tool_calls or {}) do parts[#parts + 1] = call_part(call, i == 1, flags) end
  return parts
end

local function response_part(message, names)
  local name = names[message.tool_call_id or ""] or "unknown"
  return { functionResponse = {
    id = message.tool_call_id, name = name, response = { [message.is_error and "error" or "output"] = message.text or "" },
  } }
end

-- Roles are user and model. The answers to calls that were made together stand together, right after them.
local function contents_of(list, flags)
  local contents, names, last_kind = json.array{}, {}, nil
  for _, message in ipairs(list) do
    local kind = message.role
    local parts
    if kind == "assistant" then
      parts = model_parts(message, flags)
      for _, call in ipairs(message.tool_calls or {}) do names[call.id] = call.name end
    elseif kind == "tool" then parts = { response_part(message, names) }
    else parts = message.text and message.text ~= "" and { { text = message.text } } or {} end
    if #parts > 0 then
      if kind ~= last_kind then contents[#contents + 1] = { role = kind == "assistant" and "model" or "user", parts = json.array{} } end
      last_kind = kind
      local there = contents[#contents].parts
      for _, part in ipairs(parts) do there[#there + 1] = part end
    end
  end
  if last_kind == "assistant" then contents[#contents + 1] = { role = "user", parts = json.array{ { text = GO_ON } } } end
  return contents
end

-- -- tools ---------------------------------------------------------------------------------------------------------------

local function tools_of(list)
  local declarations = json.array{}
  for i, tool in ipairs(list) do
    local parameters = tool.parameters
    -- An object of no properties is refused; a call without parameters has none.
    if parameters and parameters.type == "object" and next(parameters.properties or {}) == nil and not parameters["$ref"] then parameters = nil end
    declarations[i] = { name = tool.name, description = tool.description, parametersJsonSchema = parameters }
  end
  return json.array{ { functionDeclarations = declarations } }
end

local function calling_config(asked, flags)
  local wanted = asked.tool_choice
  if type(wanted) == "table" then return { mode = "ANY", allowedFunctionNames = json.array{ wanted.name } } end
  if wanted == "required" then return { mode = "ANY" } end
  if wanted == "none" then return { mode = "NONE" } end
  if flags.supports_strict_tools then
    for _, tool in ipairs(asked.tools) do
      if tool.strict then return { mode = "VALIDATED" } end
    end
  end
  return wanted == "auto" and { mode = "AUTO" } or nil
end

-- -- the whole -----------------------------------------------------------------------------------------------------------

local function thinking_of(effort, flags)
  if not effort then return nil end
  if flags.thinking_mode == "level" and LEVELS[effort] then return { thinkingLevel = LEVELS[effort] } end
  if flags.thinking_mode == "budget" and BUDGETS[effort] then return { thinkingBudget = BUDGETS[effort] } end
  return nil
end

local function config_of(asked, flags)
  local config = { maxOutputTokens = asked.max_tokens, seed = asked.seed, thinkingConfig = thinking_of(asked.effort, flags) }
  if flags.allows_temperature ~= false then config.temperature, config.topP = asked.temperature, asked.top_p end
  if asked.stop and #asked.stop > 0 then config.stopSequences = asked.stop end
  if asked.schema and flags.supports_json_schema ~= false then
    config.responseMimeType, config.responseJsonSchema = "application/json", asked.schema.schema
  end
  return next(config) and config or nil
end

local function system_of(asked, flags)
  local text = asked.system or ""
  if asked.schema and flags.supports_json_schema == false then
    text = (text ~= "" and text .. "\n\n" or "") .. SCHEMA_IN_WORDS .. json.encode(asked.schema.schema)
  end
  return text ~= "" and { parts = json.array{ { text = text } } } or nil
end

--- The body of a request, as a table.
function request.body(asked, target)
  local flags = target.flags or {}
  local body = { contents = contents_of(asked.messages, flags), systemInstruction = system_of(asked, flags), generationConfig = config_of(asked, flags) }
  if asked.tools and #asked.tools > 0 then
    body.tools = tools_of(asked.tools)
    local calling = calling_config(asked, flags)
    body.toolConfig = calling and { functionCallingConfig = calling } or nil
  end
  extras.put(body, asked.extras and asked.extras.gemini, KEPT)
  return body
end

-- Models are names of tenants' choosing: nothing in them may lead elsewhere.
local function path_of(target, method)
  local name = target.model:gsub("^models/", ""):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end)
  return "/v1beta/models/" .. name .. ":" .. method
end

--- A request for the orchestrator's HTTP client.
--- @param target table  its url is the server without the version, https://generativelanguage.googleapis.com unless given
--- @param method string  with its query, if any
function request.http(target, method, framing, body)
  local base = (target.url or BASE):gsub("/+$", ""):gsub("/v1beta$", "")
  return {
    method = "POST", url = base .. path_of(target, method), framing = framing, body = json.encode(body),
    headers = { ["content-type"] = "application/json", accept = framing == "sse" and "text/event-stream" or "application/json", ["x-goog-api-key"] = target.key },
  }
end

--- The request for an answer, streamed or whole.
function request.of(asked, target, stream)
  return request.http(target, stream and "streamGenerateContent?alt=sse" or "generateContent", stream and "sse" or "json", request.body(asked, target))
end

return request
