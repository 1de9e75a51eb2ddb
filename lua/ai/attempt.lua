-- SPDX-License-Identifier: Apache-2.0
--- One try: one request to one target. Says what came as events, and in the end how it went; whether to try again, and where, is turn.lua's.
---
--- An answer that has begun to no purpose can still be given by another model: "start" is held back until the first word or tool call.
--- An answer counts as whole only with its end event: a connection that closes before is an error, whatever its status was.
local adapters = require "ai.adapters"
local log = require "core.log"
local task = require "core.task"

local attempt = {}

--- What emit returns for a text when no more is wanted: the answer ends there, as one that was long enough.
attempt.ENOUGH = "enough"

local MOST_BYTES = 4 * 1024 * 1024  -- of an answer: who sends more never ends
local ERROR_BYTES = 64 * 1024
local CONNECT_MS, LEAST_MS, READ_OUT_MS = 3000, 1, 1000
local SLACK_MS = 100  -- the turn's own deadline comes first, and knows that nobody is to blame

local CLASS_OF_CODE = { timeout = "timeout", cancelled = "cancelled", protocol = "protocol", limit = "protocol", invalid = "bad_request", denied = "network" }

local Try = {}
Try.__index = Try

local none = nil  -- the names of members that come later have their place from the start: a table that grows is made anew each time

local function fail(self, class, text, cut)
  local outcome = self.outcome
  if outcome.class then return end
  outcome.class, outcome.text, outcome.cut = class, text, cut
end

-- The first word or tool call: the latency that callers feel. False when another attempt has spoken first.
local function speak(self)
  local outcome = self.outcome
  if outcome.spoke then return true end
  outcome.first_token_ms = self.world.mono_ms() - self.began_ms
  if self.options.may_speak and not self.options.may_speak(self) then
    fail(self, "cancelled", "another model was faster", true)
    return false
  end
  outcome.spoke = true
  if self.on_first then self.on_first(outcome.first_token_ms) end
  if self.limit then self.limit:cancel() end
  if self.start then self.emit(self.start) end
  return true
end

local function weigh(self, bytes)
  self.bytes = self.bytes + bytes
  if self.bytes <= MOST_BYTES then return true end
  fail(self, "protocol", ("the answer has more than %d bytes"):format(MOST_BYTES))
  return false
end

local take = {}

function take.start(self, event)
  self.start = event
  self.outcome.id, self.outcome.answered_as = event.id, event.model
  self.outcome.request_id = event.request_id or self.outcome.request_id
end

function take.text(self, event)
  if event.text == "" or not weigh(self, #event.text) or not speak(self) then return end
  self.texts[#self.texts + 1] = event.text
  if self.emit(event) ~= attempt.ENOUGH then return end
  self.enough = true
  self.outcome.ended, self.outcome.reason = true, "length"
end

local function tool_part(self, event)
  if not weigh(self, #(event.json or event.arguments or "") + 16) or not speak(self) then return end
  self.outcome.tools_begun = true
  if event.type == "tool_delta" then self.outcome.tool_bytes = (self.outcome.tool_bytes or 0) + #(event.json or "") end
  if event.type == "tool" then
    self.outcome.tool_calls[#self.outcome.tool_calls + 1] = { id = event.id, name = event.name, arguments = event.arguments, valid = event.valid,
      provider_data = event.provider_data }
  end
  self.emit(event)
end
take.tool_start, take.tool_delta, take.tool = tool_part, tool_part, tool_part

function take.usage(self, event) self.outcome.usage = event end

take["end"] = function(self, event)
  local outcome = self.outcome
  outcome.ended, outcome.reason, outcome.provider_data = true, event.reason, event.provider_data
  self.whole = true
end

function take.error(self, event)
  local outcome = self.outcome
  if outcome.class then return end
  fail(self, event.class or "server", event.text)
  outcome.code, outcome.retry_after_s, outcome.should_retry, outcome.key_refused = event.code, event.retry_after_s, event.should_retry, event.key_refused
  outcome.request_id = event.request_id or outcome.request_id
end

-- Takes events in; false when there is no use in more.
local function take_all(self, events)
  for _, event in ipairs(events) do
    local known = take[event.type]  -- what an adapter adds later is not known here, and no harm
    if known then known(self, event) end
    if self.outcome.class or self.enough then return false end
  end
  return not self.outcome.ended
end

-- All of a body that is no events.
local function body_of(stream, most)
  local parts, bytes = {}, 0
  while true do
    local name, data = stream:next()
    if name == nil then
      if data then return nil, data end
      return table.concat(parts)
    end
    bytes = bytes + #data
    if bytes > most then return nil, { code = "limit", text = ("the answer has more than %d bytes"):format(most) } end
    parts[#parts + 1] = data
  end
end

-- Is it given less time than is fair? A tenant's own impatience must not close the door of a model that is there for all.
local function hurried(self, name)
  local fair = self.options.fair
  return fair ~= nil and self.options[name] < fair[name]
end

local function failed_io(self, err)
  local class = CLASS_OF_CODE[err and err.code] or "network"
  if self.ended_by then
    fail(self, self.ended_by.class, self.ended_by.text, self.ended_by.cut)
  else
    fail(self, class, err and err.text or "the connection failed", class == "cancelled" or (class == "timeout" and hurried(self, "idle_ms")))
  end
end

local function read_whole(self, stream)
  local body, err = body_of(stream, MOST_BYTES)
  if not body then return failed_io(self, err) end
  take_all(self, self.adapter.whole(stream.status, stream.headers, body, self.target))
end

-- What comes after the end event is nobody's, but a connection of which all was read can be used again.
local function read_out(world, stream)
  local limit = world.after(READ_OUT_MS, function() stream:cancel() end)
  repeat until stream:next() == nil
  limit:cancel()
end

local function read_events(self, stream)
  local reader = self.adapter.reader(self.target)
  while true do
    local name, data = stream:next()
    if name == nil then
      if data then return failed_io(self, data) end
      take_all(self, reader:finish())
      return
    end
    if not take_all(self, reader:feed(name or nil, data)) then
      if self.enough then
        stream:cancel()
      elseif not self.outcome.class then
        task.spawn(read_out, self.world, stream)
      end
      return
    end
  end
end

local function read_failure(self, stream)
  local body = body_of(stream, ERROR_BYTES) or ""  -- the status alone says enough
  local found = self.adapter.failure(stream.status, stream.headers, body)
  found.type = "error"
  take_all(self, { found })
  self.outcome.status = stream.status
end

local function go(self)
  local target, options = self.target, self.options
  local streams = self.adapter.capabilities.stream ~= false and not (target.flags and target.flags.stream == false)
  local asked = self.adapter.request(self.request, target, streams)
  local framing = asked.framing == "json" and "bytes" or asked.framing
  local left = math.max(LEAST_MS, options.deadline - self.world.mono_ms())
  local first_ms = math.min(options.first_token_ms, left)
  -- A server that sends signs of life and no word is as silent as one that sends nothing.
  self.limit = self.world.after(first_ms, function()
    attempt.cancel(self, "timeout", ("no word within %d ms"):format(first_ms), first_ms < options.first_token_ms or hurried(self, "first_token_ms"))
  end)
  local stream, err = self.world.stream{
    url = asked.url, method = asked.method, headers = asked.headers, body = asked.body, framing = framing, connect_ms = math.min(CONNECT_MS, left + SLACK_MS),
    first_byte_ms = left + SLACK_MS, idle_ms = options.idle_ms, timeout_ms = left + SLACK_MS, ca_file = target.ca_file,
    on_begin = function(opened)
      self.stream = opened
      if self.ended_by then opened:cancel() end
    end,
  }
  if not stream then
    self.unsent = err and err.stage == "connect"
    return failed_io(self, err)
  end
  self.stream = stream
  if self.ended_by then
    stream:cancel()
    return failed_io(self)
  end
  if stream.status < 200 or stream.status > 299 then return read_failure(self, stream) end
  if not streams or framing == "bytes" then return read_whole(self, stream) end
  return read_events(self, stream)
end

local function check_end(self)
  local outcome = self.outcome
  if outcome.class then return end
  if not outcome.ended then
    if self.ended_by then return failed_io(self) end
    return fail(self, "protocol", "the answer has no end")
  end
  -- An answer without a word is one: a stop text that is the first word asks for just that. Only calls that were promised must be there.
  if outcome.reason == "tool" and outcome.said == "" and #outcome.tool_calls == 0 then fail(self, "server", "the answer is empty", true) end
end

local function silent() end

--- Makes an attempt, which attempt.go runs and attempt.cancel ends.
--- @param world table    { mono_ms, after(ms, fn) -> timer with cancel(), stream = core.http.stream or its like }
--- @param options table  { emit = function(event): start, text, tool_start, tool_delta, tool; may wait, deadline = mono ms, first_token_ms,
---   idle_ms, fair = { first_token_ms, idle_ms } or nil: who is given less and does not keep to it is not to blame,
---   may_speak = function(try) -> boolean: is this the one that is heard, on_first = function(ms) }
function attempt.new(world, target, request, options)
  local outcome = { said = "", tool_calls = {}, class = none, text = none, cut = none, code = none, id = none, answered_as = none, request_id = none, first_token_ms = none,
    spoke = none, usage = none, ended = none, reason = none, provider_data = none, partial = none, sent = none, ms = none }
  return setmetatable({ world = world, target = target, request = request, options = options, emit = options.emit or silent, on_first = options.on_first, texts = {}, bytes = 0,
    outcome = outcome, began_ms = none, adapter = none, limit = none, stream = none, start = none, whole = none, over = none, ended_by = none }, Try)
end

--- Asks and reads until the end. Waits; never raises.
--- @return table outcome  { class = nil when whole, text, cut = true: ended by us, which says nothing of the target; code, request_id,
---   retry_after_s, should_retry, key_refused, spoke, said, tool_calls, tools_begun, tool_bytes = of arguments that came in pieces, partial = true: its end
---   was not heard, sent = true: the server may have the request, status = of a reply that is no answer, reason, usage, provider_data, ms, first_token_ms }
function attempt.go(self)
  self.began_ms = self.world.mono_ms()
  self.adapter = adapters.of(self.target.kind)
  if not self.adapter then
    fail(self, "not_found", ("there is no plugin for '%s'"):format(tostring(self.target.kind)))
  elseif self.ended_by then
    failed_io(self)
  else
    local ok, err = pcall(go, self)
    if not ok then
      log.error("ai.attempt_broke", { provider = self.target.provider, model = self.target.model, text = tostring(err) })
      fail(self, "protocol", "the answer could not be read", true)
    end
  end
  local outcome = self.outcome
  outcome.said = table.concat(self.texts)
  check_end(self)
  if self.limit then self.limit:cancel() end
  if outcome.class and self.stream then self.stream:cancel() end
  outcome.partial = not self.whole
  outcome.sent = self.stream ~= nil and not self.unsent
  outcome.ms = self.world.mono_ms() - self.began_ms
  self.over = true
  return outcome
end

--- Ends an attempt from outside: its stream is reset, and attempt.go returns with this class.
--- @param cut boolean  true: the target is not to blame
function attempt.cancel(self, class, text, cut)
  if self.over or self.ended_by then return end
  self.ended_by = { class = class, text = text, cut = cut }
  if self.stream then self.stream:cancel() end
end

return attempt
