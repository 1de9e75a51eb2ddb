-- SPDX-License-Identifier: Apache-2.0
--- OpenAI's Responses. Nothing is kept at the provider (store = false), so what a model thought is given back with the next request:
--- `provider_data` of a message or a tool call holds the reasoning items that came before it, sealed by the provider; nobody else reads it.
--- Form: the openai package, types/responses; the stream's last event is response.completed, .incomplete, .failed or error.
local embeddings = require "plugins.ai_openai.embeddings"
local failure = require "plugins.ai_openai.failure"
local fields = require "ai.fields"
local flags = require "plugins.ai_openai.flags"
local http = require "plugins.ai_openai.http"
local json = require "core.json"
local strict = require "plugins.ai_openai.strict"
local tools = require "plugins.ai_openai.tools"
local words = require "plugins.ai_openai.words"

local responses = {
  kind = "openai_responses",
  capabilities = {
    tools = true, parallel_tools = true, tool_choice = true, schema = true, stream = true, stop = false, seed = false, embeddings = true, embed_batch = embeddings.MOST_TEXTS, usage_in_stream = true,
    prompt_cache = true,
  },
  embed_request = embeddings.request, embed_result = embeddings.result, failure = failure.of,
}

local LEAST_OUTPUT = 16            -- tokens; fewer are refused
local MOST_THOUGHT = 1024 * 1024   -- bytes of sealed reasoning kept of one answer

-- -- the request ---------------------------------------------------------------------------------------------------------

-- A reasoning item with nothing in it but what one has; nil when it is none, or not sealed: nothing is stored, so it could not be found again.
local function thought_of(item)
  local sealed = fields.text(item, "encrypted_content")
  if not sealed or item.type ~= "reasoning" then return nil end
  local summary = json.array{}
  for _, part in ipairs(fields.object(item, "summary")) do
    summary[#summary + 1] = { type = "summary_text", text = fields.text(part, "text") or "" }
  end
  return { type = "reasoning", id = fields.text(item, "id"), summary = summary, encrypted_content = sealed }
end

-- Only who sealed a thought can open it. The data may come from a caller, so nothing passes that is no thought.
local function add_thoughts(input, data, target)
  if type(data) ~= "table" or data.kind ~= "openai_responses" or data.provider ~= target.provider then return end
  for _, item in ipairs(fields.object(data, "items")) do input[#input + 1] = thought_of(item) end
end

local function add_assistant(input, message, target)
  if message.text and message.text ~= "" then
    -- A thought must be followed by what it led to; when that was never heard, it is left out too.
    add_thoughts(input, message.provider_data, target)
    input[#input + 1] = { role = "assistant", content = message.text }
  end
  for _, call in ipairs(message.tool_calls or {}) do
    add_thoughts(input, call.provider_data, target)
    input[#input + 1] = { type = "function_call", call_id = call.id, name = call.name, arguments = call.arguments }
  end
end

local function input_of(request, target)
  local input = json.array{}
  for _, message in ipairs(request.messages) do
    if message.role == "tool" then
      input[#input + 1] = { type = "function_call_output", call_id = message.tool_call_id, output = words.result(message) }
    elseif message.role == "assistant" then
      add_assistant(input, message, target)
    else
      input[#input + 1] = { role = message.role, content = message.text or "" }
    end
  end
  if words.breaks_off(request) then input[#input + 1] = { role = "user", content = words.GO_ON } end
  return input
end

local function add_tools(body, request, target)
  if not request.tools or #request.tools == 0 then return end
  body.tools = {}
  for i, tool in ipairs(request.tools) do
    local parameters = tool.parameters or { type = "object", properties = {} }
    local closed = tool.strict and flags.of(target, "supports_strict_tools") and strict.close(parameters) or nil
    -- Here a tool is strict unless it says that it is not.
    body.tools[i] = { type = "function", name = tool.name, description = tool.description, parameters = closed or parameters, strict = closed ~= nil }
  end
  local choice = request.tool_choice
  body.tool_choice = type(choice) == "table" and { type = "function", name = choice.name } or choice
  if request.parallel_tools ~= nil and flags.of(target, "supports_parallel_tools") then body.parallel_tool_calls = request.parallel_tools end
end

local function add_reasoning(body, request, target)
  local effort = flags.effort(target, request.effort)
  if effort then body.reasoning = { effort = effort } end
  -- A model that does not think refuses to seal its thoughts.
  if flags.of(target, "reasoning") or (effort and effort ~= "none") then body.include = { "reasoning.encrypted_content" } end
end

local function format_of(schema)
  local closed = schema.strict ~= false and strict.close(schema.schema) or nil
  return { type = "json_schema", name = schema.name or "answer", schema = closed or schema.schema, strict = closed ~= nil }
end

--- The request for a canonical one. Pure. The API has no stop texts and no seed.
--- @param stream boolean  whether the answer is to be streamed
function responses.request(request, target, stream)
  local body = {
    model = target.model, input = input_of(request, target), instructions = request.system ~= "" and request.system or nil, store = false,
    stream = stream and true or false, max_output_tokens = request.max_tokens and math.max(request.max_tokens, LEAST_OUTPUT) or nil,
  }
  if flags.of(target, "allows_temperature") then
    body.temperature, body.top_p = request.temperature, request.top_p
  end
  add_tools(body, request, target)
  add_reasoning(body, request, target)
  if request.schema then body.text = { format = format_of(request.schema) } end
  if request.cache_key and request.prompt_cache ~= false and flags.of(target, "prompt_cache_key") then body.prompt_cache_key = request.cache_key end
  if stream and flags.of(target, "include_obfuscation") then body.stream_options = { include_obfuscation = false } end
  http.add_extras(body, request.extras and request.extras.openai_responses)
  return http.request(target, "/responses", body, stream and "sse" or "json")
end

-- -- the answer ----------------------------------------------------------------------------------------------------------

local reader = {}
reader.__index = reader

--- A reader of one streamed answer. Not shared between answers.
function responses.reader(target)
  return setmetatable({ tools = tools.new(), target = target, thoughts = {}, thought_bytes = 0, over = false }, reader)
end

local function usage_of(found)
  if fields.count(found, "input_tokens") == nil and fields.count(found, "output_tokens") == nil then return nil end
  local input, output = fields.object(found, "input_tokens_details"), fields.object(found, "output_tokens_details")
  return fields.usage(fields.count(found, "input_tokens"), fields.count(input, "cached_tokens"), fields.count(input, "cache_write_tokens"),
    fields.count(found, "output_tokens"), fields.count(output, "reasoning_tokens"))
end

-- Nothing follows an error: what comes after it is not read.
local function fail(self, events, event)
  self.over = true
  events[#events + 1] = event
  return events
end

local function breach(self, events, text)
  return fail(self, events, { type = "error", class = "protocol", text = text })
end

local function start(self, response, events)
  if self.started then return end
  self.started = true
  events[#events + 1] = { type = "start", id = fields.text(response, "id"), model = fields.text(response, "model") }
end

-- The thoughts since the last item that they may belong to.
local function thoughts_taken(self)
  if #self.thoughts == 0 then return nil end
  local items = self.thoughts
  self.thoughts = {}
  return { kind = "openai_responses", provider = self.target.provider, items = items }
end

local function keep_thought(self, item)
  local thought = thought_of(item)
  if not thought then return end
  self.thought_bytes = self.thought_bytes + #thought.encrypted_content
  for _, part in ipairs(thought.summary) do self.thought_bytes = self.thought_bytes + #part.text end
  if self.thought_bytes > MOST_THOUGHT then return end
  self.thoughts[#self.thoughts + 1] = thought
end

-- Where an item's events find it: the position in the output, which all of them have.
local function place_of(event)
  return fields.count(event, "output_index") or fields.text(event, "item_id") or "none"
end

local function open_call(self, place, item, events)
  start(self, {}, events)
  local call, wrong = self.tools:open(place, fields.text(item, "call_id"))
  if not call then return nil, wrong end
  if not call.announced then call.provider_data = thoughts_taken(self) end
  local ok
  ok, wrong = self.tools:add(call, fields.text(item, "name"), nil, events)
  if not ok then return nil, wrong end
  return call
end

local on = {}

on["response.created"] = function(self, event, events) start(self, fields.object(event, "response"), events) end
on["response.in_progress"] = on["response.created"]
on["response.queued"] = on["response.created"]

on["response.output_item.added"] = function(self, event, events)
  local item = fields.object(event, "item")
  if item.type == "function_call" then
    local _, wrong = open_call(self, place_of(event), item, events)
    return wrong
  end
  if item.type == "message" then self.message_data = thoughts_taken(self) or self.message_data end
end

local function say(self, place, text, refusal, events)
  if text == nil or text == "" then return end
  start(self, {}, events)
  self.said = self.said or {}
  self.said[place] = true
  if refusal then self.refused = true end
  events[#events + 1] = { type = "text", text = text, refusal = refusal or nil }
end

local function part_place(event)
  return ("%s/%s"):format(place_of(event), fields.count(event, "content_index") or 0)
end

on["response.output_text.delta"] = function(self, event, events) say(self, part_place(event), fields.text(event, "delta"), false, events) end
on["response.refusal.delta"] = function(self, event, events) say(self, part_place(event), fields.text(event, "delta"), true, events) end

-- A text that came without its pieces is said as a whole.
on["response.output_text.done"] = function(self, event, events)
  if not (self.said and self.said[part_place(event)]) then say(self, part_place(event), fields.text(event, "text"), false, events) end
end
on["response.refusal.done"] = function(self, event, events)
  if not (self.said and self.said[part_place(event)]) then say(self, part_place(event), fields.text(event, "refusal"), true, events) end
end

on["response.function_call_arguments.delta"] = function(self, event, events)
  local call, wrong = self.tools:open(place_of(event))
  if not call then return wrong end
  local _, too_much = self.tools:add(call, nil, fields.text(event, "delta"), events)
  return too_much
end

on["response.function_call_arguments.done"] = function(self, event, events)
  local call, wrong = self.tools:open(place_of(event))
  if not call then return wrong end
  self.tools:add(call, fields.text(event, "name"), nil, events)
  self.tools:close(call, events, false, fields.text(event, "arguments"))
end

on["response.output_item.done"] = function(self, event, events)
  local item = fields.object(event, "item")
  if item.type == "reasoning" then
    keep_thought(self, item)
  elseif item.type == "function_call" then
    local call, wrong = open_call(self, place_of(event), item, events)
    if not call then return wrong end
    self.tools:close(call, events, item.status == "incomplete", fields.text(item, "arguments"))
  end
end

local INCOMPLETE = { max_output_tokens = "length", content_filter = "filter", max_tool_calls = "pause" }

local function finish(self, reason, detail, events)
  self.tools:close_all(events, reason == "length" or reason == "filter")
  if self.usage then events[#events + 1] = self.usage end
  self.over = true
  events[#events + 1] = { type = "end", reason = reason, detail = detail, provider_data = self.message_data }
end

on["response.completed"] = function(self, event, events)
  local response = fields.object(event, "response")
  start(self, response, events)
  self.usage = usage_of(fields.object(response, "usage"))
  local reason = self.tools:any() and "tool" or self.refused and "refusal" or "end"
  finish(self, reason, "completed", events)
end

on["response.incomplete"] = function(self, event, events)
  local response = fields.object(event, "response")
  start(self, response, events)
  self.usage = usage_of(fields.object(response, "usage"))
  local detail = fields.text(fields.object(response, "incomplete_details"), "reason")
  finish(self, INCOMPLETE[detail] or "length", detail or "incomplete", events)
end

local function failed(self, response, events)
  local usage = usage_of(fields.object(response, "usage"))
  if usage then events[#events + 1] = usage end
  local event = failure.event(failure.object(response) or { message = "the answer failed, without a reason" })
  if response.status == "cancelled" then event.class = "cancelled" end
  fail(self, events, event)
end

on["response.failed"] = function(self, event, events) failed(self, fields.object(event, "response"), events) end
on["response.cancelled"] = on["response.failed"]

-- Its fields stand in it, or in an object of it as in the other APIs.
on["error"] = function(self, event, events) fail(self, events, failure.event(failure.object(event) or event)) end

--- Reads one event of the stream. Returns the events that it means, maybe none.
--- @param name string|false|nil  the event's name; its data's `type` is the same and goes before it
function reader:feed(name, data)
  local events = {}
  if self.over or data:find("^%s*$") or data:find("^%s*%[DONE%]%s*$") then return events end
  local decoded, err = json.decode(data)
  if type(decoded) ~= "table" then return breach(self, events, "an event is no JSON object" .. (err and ": " .. err.text or "")) end
  local handler = on[fields.text(decoded, "type") or name or ""]
  if not handler and failure.object(decoded) and not fields.text(decoded, "type") then handler = on.error end
  if not handler then return events end
  local wrong = handler(self, decoded, events)
  if wrong then return breach(self, events, wrong) end
  return events
end

--- Says that the stream is over. Returns an error event if it was over too early.
function reader:finish()
  if self.over then return {} end
  return breach(self, {}, "the stream ended without its last event")
end

local function read_item(self, place, item, events)
  if item.type == "message" then
    self.message_data = thoughts_taken(self) or self.message_data
    for i, part in ipairs(fields.object(item, "content")) do
      local kind = fields.text(part, "type")
      if kind == "output_text" then say(self, place .. "/" .. i, fields.text(part, "text"), false, events) end
      if kind == "refusal" then say(self, place .. "/" .. i, fields.text(part, "refusal"), true, events) end
    end
    return
  end
  if item.type == "function_call" then
    local added = { output_index = place, item = item }
    local wrong = on["response.output_item.added"](self, added, events)
    if wrong then return wrong end
    wrong = on["response.function_call_arguments.delta"](self, { output_index = place, delta = item.arguments }, events)
    if wrong then return wrong end
  end
  return on["response.output_item.done"](self, { output_index = place, item = item }, events)
end

--- Reads a whole answer, of whatever status, as the events that a stream would have given.
function responses.whole(status, headers, body, target)
  if status < 200 or status > 299 then return { failure.as_event(failure.of(status, headers, body)) } end
  local decoded = json.decode(body or "")
  if type(decoded) ~= "table" then return { failure.as_event(failure.unreadable(headers, "the answer is no JSON object")) } end
  local self, events = responses.reader(target or {}), {}
  if decoded.status == "failed" or decoded.status == "cancelled" or failure.object(decoded) then
    failed(self, decoded, events)
    events[#events].request_id = failure.request_id(headers)
    return events
  end
  if type(decoded.output) ~= "table" then return { failure.as_event(failure.unreadable(headers, "the answer has no output")) } end
  start(self, decoded, events)
  events[1].request_id = failure.request_id(headers)
  for i, item in ipairs(decoded.output) do
    local wrong = type(item) == "table" and read_item(self, i, item, events) or nil
    if wrong then return { failure.as_event(failure.unreadable(headers, wrong)) } end
  end
  on[decoded.status == "incomplete" and "response.incomplete" or "response.completed"](self, { response = decoded }, events)
  return events
end

return responses
