-- SPDX-License-Identifier: Apache-2.0
--- Reads Claude's answers, streamed (SSE, named events) and whole, as the events that all adapters give. Form: anthropic package, types/raw_*_event.py,
--- message.py, usage.py. The stream's end is message_stop, and nothing else: whatever stops before it was broken off.
---
---   message_start   content_block_start content_block_delta* content_block_stop ...   message_delta   message_stop      (ping and error anywhere)
---
--- Each usage event takes the place of the one before: the first has the input's side, so that an answer nobody waited for is not free.
local failure = require "plugins.ai_claude.failure"
local fields = require "ai.fields"
local json = require "core.json"

local reader = {}
reader.__index = reader

local MOST_BYTES = 16 * 1024 * 1024  -- of an answer; the longest is far below, but one that never ends must
local MOST_BLOCKS = 1024

local REASONS = {
  end_turn = "end", max_tokens = "length", model_context_window_exceeded = "length", stop_sequence = "stop", tool_use = "tool", refusal = "refusal",
  pause_turn = "pause",
}
-- Blocks that a message can be put together from again; with any other the blocks themselves go back.
local PLAIN = { text = true, tool_use = true }

--- A reader for one answer.
function reader.new()
  return setmetatable({ blocks = {}, order = {}, calls = 0, bytes = 0, usage = {} }, reader)
end

local function breach(self, events, text)
  self.over = true
  events[#events + 1] = { type = "error", class = "protocol", text = fields.line(text, 500), request_id = self.request_id }
  return events
end

-- -- usage ---------------------------------------------------------------------------------------------------------------

-- What the cache gave and took is not within input_tokens here, so the sum is.
local function usage_event(found)
  local read, written = found.cache_read_input_tokens or 0, found.cache_creation_input_tokens or 0
  local hour = found.ephemeral_1h_input_tokens or 0
  written = math.max(written, hour + (found.ephemeral_5m_input_tokens or 0))
  local output = found.output_tokens or 0
  return {
    type = "usage", input = (found.input_tokens or 0) + read + written, cached = read, written = written - hour, written_1h = hour,
    output = output, reasoning = math.min(found.thinking_tokens or 0, output),
  }
end

-- The counts of message_delta are cumulative and may be a part of them: what is not said again still holds.
local function add_usage(self, usage)
  local found = self.usage
  local function take(of, name)
    found[name] = fields.count(of, name) or found[name]
  end
  take(usage, "input_tokens")
  take(usage, "cache_read_input_tokens")
  take(usage, "cache_creation_input_tokens")
  take(usage, "output_tokens")
  local split = fields.object(usage, "cache_creation")
  take(split, "ephemeral_5m_input_tokens")
  take(split, "ephemeral_1h_input_tokens")
  take(fields.object(usage, "output_tokens_details"), "thinking_tokens")
end

-- -- blocks --------------------------------------------------------------------------------------------------------------

local function open_block(self, index, raw, events)
  local kind = fields.text(raw, "type")
  local place = {}
  for name, value in pairs(raw) do place[name] = value end
  local block = { raw = place, kind = kind, pieces = {}, signature = {} }
  self.blocks[index] = block
  self.order[#self.order + 1] = block
  if kind == "tool_use" then
    block.id, block.name = fields.text(raw, "id"), fields.text(raw, "name")
    if not block.id or not block.name then return nil, "a tool call has no id or no name" end
    block.index = self.calls
    self.calls = self.calls + 1
    events[#events + 1] = { type = "tool_start", index = block.index, id = block.id, name = block.name }
  elseif kind == "text" then
    local text = fields.text(raw, "text") or ""
    if text ~= "" then
      block.pieces[1] = text
      events[#events + 1] = { type = "text", text = text }
    end
  elseif kind == "thinking" then
    block.pieces[1], block.signature[1] = fields.text(raw, "thinking"), fields.text(raw, "signature")
  end
  return block
end

local function add_delta(block, delta, events)
  local kind = fields.text(delta, "type")
  if kind == "text_delta" then
    local text = fields.text(delta, "text") or ""
    if text == "" then return end
    block.pieces[#block.pieces + 1] = text
    events[#events + 1] = { type = "text", text = text }
  elseif kind == "input_json_delta" then
    local piece = fields.text(delta, "partial_json") or ""
    if piece == "" then return end
    block.pieces[#block.pieces + 1] = piece
    if block.index then events[#events + 1] = { type = "tool_delta", index = block.index, json = piece } end
  elseif kind == "thinking_delta" then
    block.pieces[#block.pieces + 1] = fields.text(delta, "thinking")
  elseif kind == "signature_delta" then
    block.signature[#block.signature + 1] = fields.text(delta, "signature")
  elseif kind == "citations_delta" and type(delta.citation) == "table" then
    local list = type(block.raw.citations) == "table" and block.raw.citations or json.array{}
    list[#list + 1] = delta.citation
    block.raw.citations = list
  end
end

-- Ends a block: puts its pieces together in `raw`, as the provider wants it back.
local function close_block(block, events, cut)
  if block.closed then return end
  block.closed = true
  local joined = table.concat(block.pieces)
  if block.kind == "text" then
    block.raw.text = joined
  elseif block.kind == "thinking" then
    block.raw.thinking, block.raw.signature = joined, table.concat(block.signature)
  elseif joined ~= "" or block.kind == "tool_use" then
    -- Nothing streamed, but a whole input at the start: a server that only speaks Claude's language.
    local input = block.raw.input
    if joined == "" and not cut and type(input) == "table" and next(input) ~= nil then joined = json.encode(input) end
    local arguments, valid = fields.arguments(joined, cut)
    valid = valid and not cut
    block.raw.input = valid and json.decode(arguments) or {}
    if block.index then
      events[#events + 1] = { type = "tool", index = block.index, id = block.id, name = block.name, arguments = arguments, valid = valid }
    end
  end
end

-- With max_tokens the last call may stop in its arguments, and then its block is never stopped.
local function close_all(self, events)
  for _, block in ipairs(self.order) do close_block(block, events, not block.closed) end
end

-- -- the end -------------------------------------------------------------------------------------------------------------

-- What has to go back with the message when it is sent again, or nil when text and calls say it all.
local function provider_data(self)
  local content, needed = json.array{}, self.stop_reason == "pause_turn"
  for _, block in ipairs(self.order) do
    -- A thought that was cut has no signature, and would be refused.
    if not (block.kind == "thinking" and block.raw.signature == "") then content[#content + 1] = block.raw end
    if not PLAIN[block.kind or ""] then needed = true end
  end
  if not needed then return nil end
  return { kind = "claude", content = content, paused = self.stop_reason == "pause_turn" or nil }
end

local function take_ending(self, of)
  self.stop_reason = fields.text(of, "stop_reason") or self.stop_reason
  local details = fields.object(of, "stop_details")
  self.explanation = fields.text(details, "explanation") or self.explanation
  self.category = fields.text(details, "category") or self.category
end

local function finish(self, events)
  if not self.stop_reason then return breach(self, events, "the answer ended without a stop_reason") end
  self.over = true
  -- A reason that is not known yet is an end: what was said was said.
  local ending = { type = "end", reason = REASONS[self.stop_reason] or "end", detail = self.category or self.stop_reason, provider_data = provider_data(self) }
  if ending.reason == "refusal" then ending.text = self.explanation end
  events[#events + 1] = ending
  return events
end

-- -- events --------------------------------------------------------------------------------------------------------------

local on = {}

function on.message_start(self, decoded, events)
  if self.started then return breach(self, events, "a second message_start") end
  self.started = true
  local message = fields.object(decoded, "message")
  add_usage(self, fields.object(message, "usage"))
  events[#events + 1] = { type = "start", id = fields.text(message, "id"), model = fields.text(message, "model"), request_id = self.request_id }
  events[#events + 1] = usage_event(self.usage)
end

function on.content_block_start(self, decoded, events)
  local index, raw = fields.count(decoded, "index"), decoded.content_block
  if not index or type(raw) ~= "table" then return breach(self, events, "a content_block_start without index or block") end
  if self.blocks[index] then return breach(self, events, "two blocks of one index") end
  if #self.order >= MOST_BLOCKS then return breach(self, events, ("more than %d blocks in one answer"):format(MOST_BLOCKS)) end
  local block, wrong = open_block(self, index, raw, events)
  if not block then return breach(self, events, wrong) end
end

function on.content_block_delta(self, decoded, events)
  local block = self.blocks[fields.count(decoded, "index") or -1]
  if not block or block.closed then return breach(self, events, "a content_block_delta without its block") end
  add_delta(block, fields.object(decoded, "delta"), events)
end

function on.content_block_stop(self, decoded, events)
  local block = self.blocks[fields.count(decoded, "index") or -1]
  if block then close_block(block, events) end
end

function on.message_delta(self, decoded, events)
  close_all(self, events)
  take_ending(self, fields.object(decoded, "delta"))
  add_usage(self, fields.object(decoded, "usage"))
  events[#events + 1] = usage_event(self.usage)
end

function on.message_stop(self, _, events)
  close_all(self, events)
  finish(self, events)
end

function on.error(self, decoded, events)
  self.over = true
  events[#events + 1] = failure.event(decoded)
end

--- Reads one event of the stream. Returns the events that it means, maybe none. After an end or an error there are no more.
--- @param name string|false|nil  the event's name; the data says it too, and goes first
function reader:feed(name, data)
  local events = {}
  if self.over or data == "" then return events end
  self.bytes = self.bytes + #data
  if self.bytes > MOST_BYTES then return breach(self, events, ("the answer is longer than %d bytes"):format(MOST_BYTES)) end
  local decoded, err = json.decode(data)
  if type(decoded) ~= "table" then return breach(self, events, "an event is no JSON object" .. (err and ": " .. err.text or "")) end
  -- Names that are not known are for who knows them: the API adds them without another version.
  local handler = on[fields.text(decoded, "type") or name or ""]
  if handler then handler(self, decoded, events) end
  return events
end

--- Says that the stream has ended. Returns an error event unless message_stop was there.
function reader:finish()
  if self.over then return {} end
  return breach(self, {}, "the stream ended before message_stop")
end

--- The events of a whole answer.
function reader.whole(status, headers, body)
  if status < 200 or status > 299 then
    local found = failure.of(status, headers, body)
    found.type = "error"
    return { found }
  end
  local self, events = reader.new(), {}
  self.request_id = failure.request_id(headers)
  local message, err = json.decode(body or "")
  if type(message) ~= "table" then return breach(self, events, "the answer is no JSON object" .. (err and ": " .. err.text or "")) end
  if fields.text(message, "type") == "error" then
    on.error(self, message, events)
    return events
  end
  if type(message.content) ~= "table" then return breach(self, events, "the answer has no content") end
  on.message_start(self, { message = message }, events)
  table.remove(events)  -- its usage is whole, and comes at the end
  for i, raw in ipairs(message.content) do
    if type(raw) ~= "table" then return breach(self, events, "a block is no JSON object") end
    local block, wrong = open_block(self, i - 1, raw, events)
    if not block then return breach(self, events, wrong) end
    local input = block.index and raw.input
    if type(input) == "table" then add_delta(block, { type = "input_json_delta", partial_json = json.encode(input) }, events) end
  end
  take_ending(self, message)
  for i, block in ipairs(self.order) do
    -- An answer that was cut may end in arguments that are a part of what was meant.
    close_block(block, events, self.stop_reason == "max_tokens" and i == #self.order and block.kind == "tool_use")
  end
  events[#events + 1] = usage_event(self.usage)
  return finish(self, events)
end

return reader
