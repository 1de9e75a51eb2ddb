-- SPDX-License-Identifier: Apache-2.0
--- OpenAI's Chat Completions, which most other servers speak too; what they do not know stands in flags.lua.
--- Form: the openai package, types/chat; the stream's end is [DONE], usage comes in a chunk of its own before it.
local alike = require "plugins.ai_openai.alike"
local embeddings = require "plugins.ai_openai.embeddings"
local failure = require "plugins.ai_openai.failure"
local fields = require "ai.fields"
local flags = require "plugins.ai_openai.flags"
local http = require "plugins.ai_openai.http"
local json = require "core.json"
local strict = require "plugins.ai_openai.strict"
local tools = require "plugins.ai_openai.tools"
local words = require "plugins.ai_openai.words"

local chat = {
  kind = "openai_chat",
  capabilities = {
    tools = true, parallel_tools = true, tool_choice = true, schema = true, stream = true, stop = true, seed = true, embeddings = true, embed_batch = embeddings.MOST_TEXTS, usage_in_stream = true,
    prompt_cache = true,
  },
  embed_request = embeddings.request, embed_result = embeddings.result, failure = failure.of,
}

-- -- the request ---------------------------------------------------------------------------------------------------------

local NO_PARAMETERS = { type = "object", properties = {} }

local function tool_calls(message)
  local calls = {}
  for i, call in ipairs(message.tool_calls) do
    calls[i] = { id = call.id, type = "function", ["function"] = { name = call.name, arguments = call.arguments } }
  end
  return calls
end

local function message_of(message)
  if message.role == "tool" then return { role = "tool", tool_call_id = message.tool_call_id, content = words.result(message) } end
  if message.tool_calls and #message.tool_calls > 0 then
    local text = message.text
    return { role = "assistant", content = text and text ~= "" and text or json.null, tool_calls = tool_calls(message) }
  end
  return { role = message.role, content = message.text or "" }
end

-- The system prompt; where a server knows no schemas, with the schema in words.
local function system_text(request, target)
  local system = request.system
  if request.schema and not flags.of(target, "supports_json_schema") then
    local asked = words.SCHEMA .. json.encode(request.schema.schema)
    system = system and system ~= "" and system .. "\n\n" .. asked or asked
  end
  return system ~= "" and system or nil
end

local function messages_of(request, target)
  local messages = json.array{}
  local system = system_text(request, target)
  if system then messages[1] = { role = flags.of(target, "system_role"), content = system } end
  for _, message in ipairs(request.messages) do messages[#messages + 1] = message_of(message) end
  if words.breaks_off(request) and not flags.of(target, "allows_prefill") then messages[#messages + 1] = { role = "user", content = words.GO_ON } end
  return messages
end

local function tools_of(request, target)
  local list = {}
  for i, tool in ipairs(request.tools) do
    local parameters = tool.parameters or NO_PARAMETERS
    local closed = tool.strict and flags.of(target, "supports_strict_tools") and strict.close(parameters) or nil
    list[i] = { type = "function", ["function"] = {
      name = tool.name, description = tool.description, parameters = closed or parameters, strict = closed and true or nil,
    } }
  end
  return list
end

local function add_tools(body, request, target)
  if not request.tools or #request.tools == 0 then return end
  body.tools = tools_of(request, target)
  local choice = request.tool_choice
  body.tool_choice = type(choice) == "table" and { type = "function", ["function"] = { name = choice.name } } or choice
  if request.parallel_tools ~= nil and flags.of(target, "supports_parallel_tools") then body.parallel_tool_calls = request.parallel_tools end
end

local function format_of(schema, target)
  if flags.of(target, "supports_json_schema") then
    local closed = schema.strict ~= false and strict.close(schema.schema) or nil
    return { type = "json_schema", json_schema = { name = schema.name or "answer", schema = closed or schema.schema, strict = closed ~= nil } }
  end
  return flags.of(target, "supports_json_object") and { type = "json_object" } or nil
end

local function add_sampling(body, request, target)
  if request.max_tokens then body[flags.of(target, "max_tokens_field")] = request.max_tokens end
  if flags.of(target, "allows_temperature") then
    if request.temperature then body.temperature = request.temperature end
    if request.top_p then body.top_p = request.top_p end
  end
  if request.stop and #request.stop > 0 and flags.of(target, "supports_stop") then body.stop = request.stop end
  if request.seed then body.seed = request.seed end
  if request.effort then body.reasoning_effort = flags.effort(target, request.effort) end
end

--- The request for a canonical one. Pure.
--- @param stream boolean  whether the answer is to be streamed
function chat.request(request, target, stream)
  local body = { model = target.model, messages = messages_of(request, target), stream = stream and true or false }
  add_tools(body, request, target)
  add_sampling(body, request, target)
  if request.schema then body.response_format = format_of(request.schema, target) end
  if request.cache_key and request.prompt_cache ~= false and flags.of(target, "prompt_cache_key") then body.prompt_cache_key = request.cache_key end
  if flags.of(target, "store") then body.store = false end
  if stream and flags.of(target, "include_usage") then
    body.stream_options = { include_usage = true }
    -- Padding that hides the lengths of pieces costs more bytes than the pieces.
    if flags.of(target, "include_obfuscation") then body.stream_options.include_obfuscation = false end
  end
  http.add_extras(body, request.extras and request.extras.openai_chat)
  return http.request(target, "/chat/completions", body, stream and "sse" or "json")
end

-- -- the answer ----------------------------------------------------------------------------------------------------------

local REASONS = { length = "length", content_filter = "filter", tool_calls = "tool", function_call = "tool" }

local function reason_of(finish, called, refused)
  local reason = REASONS[finish] or "end"
  if refused and reason == "end" then return "refusal" end
  -- A forced call, and some servers' every call, ends with "stop".
  if called and reason == "end" then return "tool" end
  if reason == "tool" and not called then return "end" end
  return reason
end

local function usage_of(found)
  if fields.count(found, "prompt_tokens") == nil and fields.count(found, "completion_tokens") == nil then return nil end
  local prompt, completion = fields.object(found, "prompt_tokens_details"), fields.object(found, "completion_tokens_details")
  return fields.usage(fields.count(found, "prompt_tokens"), fields.count(prompt, "cached_tokens"), fields.count(prompt, "cache_write_tokens"),
    fields.count(found, "completion_tokens"), fields.count(completion, "reasoning_tokens"))
end

local none = nil  -- a member that comes later has its place from the start
local reader = {}
reader.__index = reader

--- A reader of one streamed answer. Not shared between answers.
function chat.reader(target)
  return setmetatable({ tools = tools.new(), alike = alike.new(), sends_done = flags.of(target, "sends_done"), over = false, started = none, usage = none, finish_reason = none,
    refused = none }, reader)
end

-- Nothing follows an error: what comes after it is not read.
local function fail(self, events, event)
  self.over = true
  if self.usage then events[#events + 1] = self.usage end
  events[#events + 1] = event
  return events
end

local function breach(self, events, text)
  return fail(self, events, { type = "error", class = "protocol", text = text })
end

local function finish(self, events)
  self.over = true
  if self.usage then events[#events + 1] = self.usage end
  events[#events + 1] = { type = "end", reason = reason_of(self.finish_reason, self.tools:any(), self.refused), detail = self.finish_reason }
  return events
end

-- Servers differ in how they tell calls apart: by index, by the id alone, or by another id at the same index.
local function call_of(self, fragment)
  local index, id = fields.count(fragment, "index"), fields.text(fragment, "id")
  if id == "" then id = nil end
  local place = index or (id and "id " .. id) or self.last_place or "none"
  self.last_place = place
  return self.tools:open(place, id)
end

local function read_calls(self, list, events)
  for _, fragment in ipairs(list) do
    local call, wrong = call_of(self, fragment)
    if not call then return nil, wrong end
    local said = fields.object(fragment, "function")
    local ok
    ok, wrong = self.tools:add(call, fields.text(said, "name"), fields.text(said, "arguments"), events)
    if not ok then return nil, wrong end
  end
  return true
end

local function read_text(self, said, events)
  local text, refusal = fields.content(said, "content"), fields.content(said, "refusal")
  if text then events[#events + 1] = { type = "text", text = text } end
  if refusal then
    self.refused = true
    events[#events + 1] = { type = "text", text = refusal, refusal = true }
  end
end

-- One choice of a chunk or of a whole answer; `said` is its delta or its message.
local function read_choice(self, choice, said, events)
  read_text(self, said, events)
  local ok, wrong = read_calls(self, fields.object(said, "tool_calls"), events)
  if not ok then return nil, wrong end
  local reason = fields.text(choice, "finish_reason")
  if reason and reason ~= "" then
    self.finish_reason = reason
    self.tools:close_all(events, reason == "length" or reason == "content_filter")
  end
  return true
end

local function start(self, decoded, events)
  if self.started then return end
  self.started = true
  events[#events + 1] = { type = "start", id = fields.text(decoded, "id"), model = fields.text(decoded, "model") }
end

-- Did a chunk say a text and nothing else? Then one that is the same but for its text does, too.
local function says_only_text(choices, usage, events)
  local choice, event = choices[1], events[1]
  return #events == 1 and event.type == "text" and not event.refusal and #choices == 1 and not usage and (fields.text(choice, "finish_reason") or "") == ""
    and next(fields.object(fields.object(choice, "delta"), "tool_calls")) == nil
end

--- Reads one event of the stream. Returns the events that it means, maybe none.
--- @param _name string|false|nil  the event's name; Chat has none
function reader:feed(_name, data)
  local known = not self.over and self.alike:text(data)
  if known then return { { type = "text", text = known } } end
  local events = {}
  if self.over or data:find("^%s*$") then return events end
  if data:find("^%s*%[DONE%]%s*$") then
    if not self.finish_reason then return breach(self, events, "the stream ended without a finish_reason") end
    return finish(self, events)
  end
  local decoded, err = json.decode(data)
  if type(decoded) ~= "table" then return breach(self, events, "a chunk is no JSON object" .. (err and ": " .. err.text or "")) end
  local wrong = failure.object(decoded)
  if wrong then return fail(self, events, failure.event(wrong)) end
  start(self, decoded, events)
  local usage, choices = usage_of(fields.object(decoded, "usage")), fields.object(decoded, "choices")
  self.usage = usage or self.usage
  for _, choice in ipairs(choices) do
    if (fields.count(choice, "index") or 0) == 0 then
      local ok, text = read_choice(self, choice, fields.object(choice, "delta"), events)
      if not ok then return breach(self, events, text) end
    end
  end
  if says_only_text(choices, usage, events) then self.alike:keep(data, events[1].text) end
  return events
end

--- Says that the stream is over. Returns an error event if it was over too early.
function reader:finish()
  if self.over then return {} end
  if self.finish_reason and not self.sends_done then return finish(self, {}) end
  return breach(self, {}, "the stream ended without its last event")
end

--- Reads a whole answer, of whatever status, as the events that a stream would have given.
function chat.whole(status, headers, body)
  if status < 200 or status > 299 then return { failure.as_event(failure.of(status, headers, body)) } end
  local decoded = json.decode(body or "")
  if failure.object(decoded) then return { failure.as_event(failure.of(status, headers, body)) } end
  local choice = fields.object(decoded, "choices")[1]
  if type(choice) ~= "table" then return { failure.as_event(failure.unreadable(headers, "the answer has no choices")) } end
  local self, events = chat.reader({}), {}
  start(self, decoded, events)
  events[1].request_id = failure.request_id(headers)
  local ok, text = read_choice(self, choice, fields.object(choice, "message"), events)
  if not ok then return { failure.as_event(failure.unreadable(headers, text)) } end
  self.tools:close_all(events)
  self.usage = usage_of(fields.object(decoded, "usage"))
  return finish(self, events)
end

return chat
