-- SPDX-License-Identifier: Apache-2.0
--- Reads Gemini's answers, streamed (SSE without names) and whole, as the events that all adapters give. Form: GenerateContentResponse
--- (googleapis/python-genai, types.py). Each chunk has new parts only and the usage so far; calls come whole.
---
--- A stream has no last event: it is whole when a finishReason (or the reason why the prompt was blocked) was there and then the body ended, so the end
--- comes from finish(). That a call was made stands in the parts only; the reason says STOP.
local crypto = require "core.crypto"
local failure = require "plugins.ai_gemini.failure"
local fields = require "ai.fields"
local json = require "core.json"

local reader = {}
reader.__index = reader

local MOST_BYTES = 16 * 1024 * 1024  -- of an answer; the longest is far below, but one that never ends must
local MOST_CALLS = 128

local REASONS = { STOP = "end", MAX_TOKENS = "length", OTHER = "filter" }
for _, name in ipairs{ "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
  "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE" } do REASONS[name] = "filter" end
-- The model made a call that is none, and the API kept it back.
local BAD_CALLS = { MALFORMED_FUNCTION_CALL = true, UNEXPECTED_TOOL_CALL = true, TOO_MANY_TOOL_CALLS = true, MISSING_THOUGHT_SIGNATURE = true, MALFORMED_RESPONSE = true }

--- A reader for one answer.
function reader.new()
  return setmetatable({ calls = 0, bytes = 0, texts = {} }, reader)
end

local function stop(self, events, class, text)
  self.over = true
  events[#events + 1] = { type = "error", class = class, text = fields.line(text, 500), request_id = self.request_id }
  return events
end

-- Thoughts are not within the candidates, and what tools put into the prompt is not within the prompt. The cached part is.
local function usage_event(found)
  local input = (fields.count(found, "promptTokenCount") or 0) + (fields.count(found, "toolUsePromptTokenCount") or 0)
  local thoughts = fields.count(found, "thoughtsTokenCount") or 0
  return {
    type = "usage", input = input, cached = math.min(fields.count(found, "cachedContentTokenCount") or 0, input), written = 0, written_1h = 0,
    output = (fields.count(found, "candidatesTokenCount") or 0) + thoughts, reasoning = thoughts,
  }
end

local function take_usage(self, chunk, events)
  if type(chunk.usageMetadata) ~= "table" then return end
  local usage, last = usage_event(chunk.usageMetadata), self.usage
  self.usage = usage
  -- Said as it grows, so that what was used is known of an answer nobody waited for.
  if last and last.input == usage.input and last.output == usage.output and last.cached == usage.cached then return end
  events[#events + 1] = usage
end

local function add_call(self, part, call, events)
  local name = fields.text(call, "name")
  if not name or name == "" then return "a call without a name" end
  if self.calls >= MOST_CALLS then return ("more than %d calls in one answer"):format(MOST_CALLS) end
  local id = fields.text(call, "id")
  if not id or id == "" then id = "call_" .. crypto.hex(crypto.random(12)) end
  local args = call.args
  if args == nil or args == json.null then args = {} end
  local valid = type(args) == "table" and not json.is_array(args)
  local text, signature, index = json.encode({ args }):sub(2, -2), fields.text(part, "thoughtSignature"), self.calls
  self.calls = index + 1
  events[#events + 1] = { type = "tool_start", index = index, id = id, name = name }
  events[#events + 1] = { type = "tool_delta", index = index, json = text }
  events[#events + 1] = {
    type = "tool", index = index, id = id, name = name, arguments = text, valid = valid, provider_data = signature and { kind = "gemini", signature = signature } or nil,
  }
end

local function add_part(self, part, events)
  if type(part.functionCall) == "table" then return add_call(self, part, part.functionCall, events) end
  local text = fields.text(part, "text")
  if part.thought == true or not text then return end
  local signature = fields.text(part, "thoughtSignature")
  -- The last one counts: it stands for all that was thought before it.
  if signature then self.signature, self.apart = signature, text == "" or #self.texts > 0 end
  if text == "" then return end
  self.texts[#self.texts + 1] = text
  events[#events + 1] = { type = "text", text = text }
end

-- Reads one GenerateContentResponse. Returns what is wrong with it, or nothing.
local function take(self, chunk, events)
  if not self.started then
    self.started = true
    events[1] = { type = "start", id = fields.text(chunk, "responseId"), model = fields.text(chunk, "modelVersion"), request_id = self.request_id }
  end
  self.block_reason = fields.text(fields.object(chunk, "promptFeedback"), "blockReason") or self.block_reason
  local candidate = fields.object(chunk, "candidates")[1]
  if type(candidate) == "table" then
    for _, part in ipairs(fields.object(fields.object(candidate, "content"), "parts")) do
      local wrong = type(part) ~= "table" and "a part is no JSON object" or add_part(self, part, events)
      if wrong then return wrong end
    end
    self.finish_reason = fields.text(candidate, "finishReason") or self.finish_reason
    self.finish_message = fields.text(candidate, "finishMessage") or self.finish_message
  end
  take_usage(self, chunk, events)
end

local function finish(self, events)
  local said = self.finish_reason or self.block_reason
  if not said then return stop(self, events, "protocol", "the answer ended without a finishReason") end
  if BAD_CALLS[said] then return stop(self, events, "protocol", "the model made a call that is not well formed: " .. (self.finish_message or said)) end
  self.over = true
  -- A block has reasons of its own. One that is not known yet is an end: what was said was said.
  local reason = self.finish_reason and (REASONS[said] or "end") or "filter"
  if reason == "end" and self.calls > 0 then reason = "tool" end
  local data = self.signature and { kind = "gemini", signature = self.signature, apart = self.apart or nil, text = table.concat(self.texts) } or nil
  events[#events + 1] = { type = "end", reason = reason, detail = said, provider_data = data }
  return events
end

--- Reads one event of the stream. Returns the events that it means, maybe none; never the end, which comes from finish().
--- @param _name string|false|nil  there are no names
function reader:feed(_name, data)
  local events = {}
  if self.over or data == "" then return events end
  self.bytes = self.bytes + #data
  if self.bytes > MOST_BYTES then return stop(self, events, "protocol", ("the answer is longer than %d bytes"):format(MOST_BYTES)) end
  local decoded, err = json.decode(data)
  if type(decoded) ~= "table" then return stop(self, events, "protocol", "a chunk is no JSON object" .. (err and ": " .. err.text or "")) end
  local wrong = failure.object(decoded)
  if wrong then
    self.over = true
    return { failure.event(wrong) }
  end
  local breach = take(self, decoded, events)
  return breach and stop(self, events, "protocol", breach) or events
end

--- Says that the stream has ended. Returns the end, or an error event when the answer was not whole.
function reader:finish()
  if self.over then return {} end
  return finish(self, {})
end

--- The events of a whole answer.
function reader.whole(status, headers, body)
  if status < 200 or status > 299 then
    local found = failure.of(status, headers, body)
    found.type = "error"
    return { found }
  end
  local self = reader.new()
  self.request_id = failure.request_id(headers)
  body = body or ""
  if body == "" then return stop(self, {}, "protocol", "the answer is empty") end
  local events = self:feed(nil, body)
  for _, event in ipairs(self:finish()) do events[#events + 1] = event end
  return events
end

return reader
