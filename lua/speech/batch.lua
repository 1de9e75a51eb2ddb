-- SPDX-License-Identifier: Apache-2.0
--- Recognisers that are given an utterance whole: by HTTP, or a program that is run.
local fallback = require "speech.fallback"

local batch = {}

local CONNECT_MS = 3000
local LEAST_MS = 100            -- less than that is a click, and some providers refuse it
local ANSWER_BYTES = 1024 * 1024

local function body_of(stream)
  local parts, bytes = {}, 0
  while true do
    local name, data = stream:next()
    if name == nil then
      if data then return nil, data end
      return table.concat(parts)
    end
    parts[#parts + 1], bytes = data, bytes + #data
    if bytes > ANSWER_BYTES then
      stream:cancel()
      return nil, { code = "limit", text = ("the answer has more than %d bytes"):format(ANSWER_BYTES) }
    end
  end
end

local function ask_http(self, try, pcm)
  local asked = try.adapter.request(pcm, self.options, try.target)
  local late
  local limit = self.world.after(self.options.whole_ms, function()
    late = true
    if try.stream then try.stream:cancel() end
  end)
  local stream, err = self.world.stream{
    url = asked.url, method = asked.method, headers = asked.headers, body = asked.body, framing = "bytes", ca_file = try.target.ca_file,
    connect_ms = CONNECT_MS, first_byte_ms = self.options.whole_ms, timeout_ms = self.options.whole_ms,
    on_begin = function(opened)
      try.stream = opened
      if self.cancelled then opened:cancel() end
    end,
  }
  try.unsent = not stream and err ~= nil and err.stage == "connect"
  local body
  if stream then body, err = body_of(stream) end
  limit:cancel()
  if late then return nil, { class = "timeout", text = ("no answer within %d ms"):format(self.options.whole_ms) } end
  if not body then return nil, fallback.of_error(err) end
  return try.adapter.whole(stream.status, stream.headers, body, self.options)
end

local function ask_process(self, try, pcm)
  local command, wrong = try.adapter.command(pcm, self.options, try.target)
  if not command then return nil, wrong end
  local done, err = self.world.run{ argv = command.argv, input = command.input, timeout_s = self.options.whole_ms / 1000, output_limit = ANSWER_BYTES,
    unless = function() return self.cancelled end }
  if not done then return nil, fallback.of_error(err) end
  return try.adapter.heard(done, self.options)
end

local ask = { http = ask_http, process = ask_process }

local CANCELLED = { class = "cancelled", text = "cancelled", cut = true }
local NOTHING = { type = "final", text = "", words = {} }

local function failure_in(events)
  for _, event in ipairs(events) do
    if event.type == "error" then return event end
  end
end

-- Asks, and has the use written down: events | nil, failure. What was refused or never sent is not billed; what was left alone may be.
local function paid(self, try, pcm)
  local seconds = #pcm / self.held.bytes_per_ms / 1000
  local entered, refused = fallback.enter(try, { seconds = seconds })
  if not entered then return nil, refused end
  if self.cancelled then return nil, CANCELLED end  -- while we waited
  local events, failure = ask[try.adapter.transport](self, try, pcm)
  failure = failure or failure_in(events)
  local is_billed = not failure or (failure.cut or failure.class == "timeout") and not try.unsent
  fallback.leave(try, is_billed and { seconds = seconds } or nil, failure)
  return not failure and events or nil, failure
end

-- Answers one utterance: nil, or the failure.
local function answer(self, try, utterance)
  local pcm, from_ms = self.held:pcm_of(utterance)
  local events, failure = { NOTHING }, nil
  if #pcm / self.held.bytes_per_ms >= LEAST_MS then events, failure = paid(self, try, pcm) end
  if not events then return failure end
  if self.cancelled then return end
  if events[1] ~= NOTHING then
    fallback.first(try)
    self:took_final(try)
  end
  for _, event in ipairs(events) do
    if event.type == "final" then
      for _, word in ipairs(event.words) do word.from_ms, word.to_ms = word.from_ms + from_ms, word.to_ms + from_ms end
    end
    self:tell(event)
  end
  self:tell{ type = "utterance_end" }
  self.held:answered()
  fallback.again(self.way)
end

--- Answers utterances until the session is finished: nil, or the failure that it ended with.
function batch.run(self, try)
  self.on_cancel = function()
    if try.stream then try.stream:cancel() end
  end
  while not self.cancelled do
    local utterance = self.held:first_closed()
    if utterance then
      local failure = answer(self, try, utterance)
      if failure then return failure end
    elseif self.finishing then
      return nil
    else
      self:wait_change()
    end
  end
end

return batch
