-- SPDX-License-Identifier: Apache-2.0
--- Ollama's own API. It serves OpenAI's as well, but only here can the context's size be set, which it cuts silently when left small.
--- Form: ollama's api/types.go and docs/api: one JSON object per line, the last with "done": true.
--- A target's flags: num_ctx (tokens of context), keep_alive ("5m", -1: for ever), reasoning (true: thinks; "levels": takes words for how much),
--- supports_tools and supports_json_schema (false: not asked for), allows_temperature, embedding_dimensions (false: the model has one length).
local crypto = require "core.crypto"
local extras = require "ai.extras"
local failure = require "plugins.ai_ollama.failure"
local fields = require "ai.fields"
local json = require "core.json"

local ollama = {
  kind = "ollama",
  -- A tool can be offered or not, but not forced; usage has no cached tokens.
  capabilities = {
    tools = true, parallel_tools = false, tool_choice = false, schema = true, stream = true, stop = true, seed = true, embeddings = true, usage_in_stream = true,
    prompt_cache = false,
  },
  failure = failure.of,
}

local BASE = "http://127.0.0.1:11434"
-- What was guarded, what was priced, and what the answer is read by.
local KEPT = { model = true, messages = true, stream = true, options = { num_predict = true } }
local MOST_CALLS = 128
local MOST_THOUGHT = 1024 * 1024  -- bytes of thinking kept of one answer

local function flag(target, name) return (target.flags or {})[name] end

-- -- the request ---------------------------------------------------------------------------------------------------------

local function http_request(target, path, body, framing)
  return {
    method = "POST", url = (target.url or BASE):gsub("/+$", "") .. path, body = json.encode(body), framing = framing,
    headers = {
      ["content-type"] = "application/json", accept = framing == "ndjson" and "application/x-ndjson" or "application/json",
      authorization = target.key and target.key ~= "" and "Bearer " .. target.key or nil,  -- none for one's own server
    },
  }
end

-- Arguments travel as an object here. What a model once wrote that is none cannot be said; the tool's answer tells it so.
local function arguments_of(text)
  local decoded = json.decode(text)
  if type(decoded) ~= "table" or json.is_array(decoded) then return {} end
  return decoded
end

local function assistant(message, target)
  local out = { role = "assistant", content = message.text or "" }
  if not message.tool_calls or #message.tool_calls == 0 then return out end
  out.tool_calls = {}
  for i, call in ipairs(message.tool_calls) do
    out.tool_calls[i] = { id = call.id, ["function"] = { index = i - 1, name = call.name, arguments = arguments_of(call.arguments) } }
  end
  local data = message.provider_data
  if type(data) == "table" and data.kind == "ollama" and data.provider == target.provider then out.thinking = fields.text(data, "thinking") end
  return out
end

local function messages_of(request, target)
  local messages, name_of = json.array{}, {}
  if request.system and request.system ~= "" then messages[1] = { role = "system", content = request.system } end
  for _, message in ipairs(request.messages) do
    local out
    if message.role == "tool" then
      out = {
        role = "tool", tool_call_id = message.tool_call_id, tool_name = name_of[message.tool_call_id],
        content = (message.is_error and "Error: " or "") .. (message.text or ""),
      }
    elseif message.role == "assistant" then
      for _, call in ipairs(message.tool_calls or {}) do name_of[call.id] = call.name end
      out = assistant(message, target)
    else
      out = { role = message.role, content = message.text or "" }
    end
    messages[#messages + 1] = out
  end
  return messages
end

-- No tool can be forced, but others can be left out.
local function tools_of(request, target)
  local choice = request.tool_choice
  if not request.tools or choice == "none" or flag(target, "supports_tools") == false then return nil end
  local list = {}
  for _, tool in ipairs(request.tools) do
    if type(choice) ~= "table" or choice.name == tool.name then
      list[#list + 1] = { type = "function", ["function"] = {
        name = tool.name, description = tool.description, parameters = tool.parameters or { type = "object", properties = {} },
      } }
    end
  end
  return #list > 0 and list or nil
end

local function options_of(request, target)
  local options = { num_ctx = flag(target, "num_ctx"), num_predict = request.max_tokens, seed = request.seed }
  if flag(target, "allows_temperature") ~= false then
    options.temperature, options.top_p = request.temperature, request.top_p
  end
  if request.stop and #request.stop > 0 then options.stop = request.stop end
  return options
end

-- true, false, a word, or nil: nothing said. A model that does not think refuses the question.
local function think_of(request, target)
  local reasoning, effort = flag(target, "reasoning"), request.effort
  if not reasoning or effort == nil then return nil end
  if effort == "none" then return false end
  return reasoning == "levels" and effort or true
end

--- The request for a canonical one. Pure.
--- @param stream boolean  whether the answer is to be streamed
function ollama.request(request, target, stream)
  local body = {
    model = target.model, messages = messages_of(request, target), tools = tools_of(request, target), options = options_of(request, target),
    stream = stream and true or false, think = think_of(request, target), keep_alive = flag(target, "keep_alive"),
    -- A prompt that is too long is an error that another model may mend, not a prompt with its middle gone.
    truncate = false, shift = false,
  }
  if request.schema then body.format = flag(target, "supports_json_schema") == false and "json" or request.schema.schema end
  extras.put(body, request.extras and request.extras.ollama, KEPT)
  return http_request(target, "/api/chat", body, stream and "ndjson" or "json")
end

-- -- the answer ----------------------------------------------------------------------------------------------------------

local reader = {}
reader.__index = reader

--- A reader of one streamed answer. Not shared between answers.
function ollama.reader(target)
  return setmetatable({ target = target, calls = 0, thinking = {}, thought_bytes = 0, over = false }, reader)
end

local function breach(self, events, text)
  self.over = true
  events[#events + 1] = { type = "error", class = "protocol", text = text }
  return events
end

local function read_call(self, found, events)
  local said = fields.object(found, "function")
  local name = fields.text(said, "name")
  if not name or name == "" then return "a tool call has no name" end
  if self.calls >= MOST_CALLS then return ("more than %d tool calls in one answer"):format(MOST_CALLS) end
  local id, index = fields.text(found, "id"), self.calls
  if id == nil or id == "" then id = "call_" .. crypto.hex(crypto.random(12)) end  -- servers before 0.12 send none
  self.calls = self.calls + 1
  local arguments, valid
  if type(said.arguments) == "table" then
    arguments, valid = json.encode(said.arguments), not json.is_array(said.arguments)
    if arguments == "[]" then arguments, valid = "{}", true end
  else
    arguments, valid = fields.arguments(fields.text(said, "arguments") or "")
  end
  events[#events + 1] = { type = "tool_start", index = index, id = id, name = name }
  events[#events + 1] = { type = "tool_delta", index = index, json = arguments }
  events[#events + 1] = { type = "tool", index = index, id = id, name = name, arguments = arguments, valid = valid }
end

-- Kept for the next request of a turn with tools: a model that thinks goes on from there.
local function keep_thought(self, text)
  if not text or self.thought_bytes > MOST_THOUGHT then return end
  self.thought_bytes = self.thought_bytes + #text
  self.thinking[#self.thinking + 1] = text
end

local function data_of(self)
  if self.calls == 0 or #self.thinking == 0 or self.thought_bytes > MOST_THOUGHT then return nil end
  return { kind = "ollama", provider = self.target.provider, thinking = table.concat(self.thinking) }
end

-- The last object. Counts that are zero are left out by the server, so nothing there means none.
local function finish(self, decoded, events)
  self.over = true
  events[#events + 1] = fields.usage(fields.count(decoded, "prompt_eval_count"), 0, 0, fields.count(decoded, "eval_count"), 0)
  local said = fields.text(decoded, "done_reason")
  local reason = said == "length" and "length" or self.calls > 0 and "tool" or "end"
  events[#events + 1] = { type = "end", reason = reason, detail = said, provider_data = data_of(self) }
end

local function read(self, decoded, events)
  if not self.started then
    self.started = true
    events[#events + 1] = { type = "start", model = fields.text(decoded, "model") }
  end
  local message = fields.object(decoded, "message")
  keep_thought(self, fields.text(message, "thinking"))
  local text = fields.content(message, "content")
  if text then events[#events + 1] = { type = "text", text = text } end
  for _, found in ipairs(fields.object(message, "tool_calls")) do
    local wrong = read_call(self, found, events)
    if wrong then return breach(self, events, wrong) end
  end
  if decoded.done == true then finish(self, decoded, events) end
  return events
end

--- Reads one line of the stream. Returns the events that it means, maybe none.
--- @param _name any  lines have no names
function reader:feed(_name, data)
  local events = {}
  if self.over or data:find("^%s*$") then return events end
  local decoded, err = json.decode(data)
  if type(decoded) ~= "table" then return breach(self, events, "a line is no JSON object" .. (err and ": " .. err.text or "")) end
  local said = failure.said(decoded)
  if said then
    self.over = true
    return { failure.event(said) }
  end
  return read(self, decoded, events)
end

--- Says that the stream is over. Returns an error event if it was over too early.
function reader:finish()
  if self.over then return {} end
  return breach(self, {}, "the stream ended without its last line")
end

--- Reads a whole answer, of whatever status, as the events that a stream would have given.
--- @param target table|nil  the target that was asked; its name stands in the thinking that is kept
function ollama.whole(status, headers, body, target)
  if status < 200 or status > 299 then return { failure.as_event(failure.of(status, headers, body)) } end
  local decoded = json.decode(body or "")
  if failure.said(decoded) then return { failure.as_event(failure.of(status, headers, body)) } end
  if type(decoded) ~= "table" or type(decoded.message) ~= "table" or decoded.done ~= true then
    return { failure.as_event(failure.unreadable(headers, "the answer has no message, or was not done")) }
  end
  local events = read(ollama.reader(target or {}), decoded, {})
  events[1].request_id = failure.request_id(headers)
  return events
end

-- -- embeddings ----------------------------------------------------------------------------------------------------------

--- The request for the vectors of texts.
--- @param options table|nil  { dimensions }
function ollama.embed_request(texts, target, options)
  local body = { model = target.model, input = texts, truncate = false, keep_alive = flag(target, "keep_alive") }
  if flag(target, "num_ctx") then body.options = { num_ctx = flag(target, "num_ctx") } end
  if options and flag(target, "embedding_dimensions") ~= false then body.dimensions = options.dimensions end
  return http_request(target, "/api/embed", body, "json")
end

local function is_vector(found, length)
  if type(found) ~= "table" or #found == 0 or #found ~= length then return false end
  for _, value in ipairs(found) do
    if type(value) ~= "number" then return false end
  end
  return true
end

--- The vectors of an answer, in the order of the texts: { vectors, usage, model } | nil, failure. All are of one length.
function ollama.embed_result(status, headers, body)
  if status < 200 or status > 299 then return nil, failure.of(status, headers, body) end
  local decoded = json.decode(body or "")
  if failure.said(decoded) then return nil, failure.of(status, headers, body) end
  local vectors = fields.object(decoded, "embeddings")
  local first = vectors[1]
  if type(first) ~= "table" then return nil, failure.unreadable(headers, "the answer has no embeddings") end
  for _, vector in ipairs(vectors) do
    if not is_vector(vector, #first) then return nil, failure.unreadable(headers, "an embedding is no vector, or of another length than the first") end
  end
  local usage = fields.usage(fields.count(decoded, "prompt_eval_count"))
  usage.type = nil
  return { vectors = vectors, usage = usage, model = fields.text(decoded, "model") }
end

return ollama
