-- SPDX-License-Identifier: Apache-2.0
--- Recognisers that are given an utterance whole: by HTTP, or a program that is run.
local bounds = require "speech.bounds"
local fallback = require "speech.fallback"

local batch = {}

local CONNECT_MS = 2000
local ANSWER_MS, PER_SECOND_MS = 2000, 100  -- the longest wait for a server, and what it may take longer for each second of sound
local RUN_MS = 10000            -- the same for a program: nobody comes after it
local LEAST_MS = 100            -- less than that is a click, and some providers refuse it
local ANSWER_BYTES = 1024 * 1024
local BEFORE_MS = 500           -- of silence before a voice

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
  local most_ms = self.options.whole_ms or ANSWER_MS + PER_SECOND_MS * #pcm / self.held.bytes_per_ms / 1000
  local limit = self.world.after(most_ms, function()
    late = true
    if try.stream then try.stream:cancel() end
  end)
  local stream, err = self.world.stream{
    url = asked.url, method = asked.method, headers = asked.headers, body = asked.body, framing = "bytes", ca_file = try.target.ca_file,
    connect_ms = CONNECT_MS, first_byte_ms = most_ms, timeout_ms = most_ms,
    on_begin = function(opened)
      try.stream = opened
      if self.cancelled then opened:cancel() end
    end,
  }
  try.unsent = not stream and err ~= nil and err.stage == "connect"
  local body
  if stream then body, err = body_of(stream) end
  limit:cancel()
  if late then return nil, { class = "timeout", text = ("no answer within %d ms"):format(most_ms) } end
  if not body then return nil, fallback.of_error(err) end
  return try.adapter.whole(stream.status, stream.headers, body, self.options)
end

local function ask_process(self, try, pcm)
  local command, wrong = try.adapter.command(pcm, self.options, try.target)
  if not command then return nil, wrong end
  local done, err = self.world.run{ argv = command.argv, input = command.input, timeout_s = (self.options.whole_ms or RUN_MS) / 1000, output_limit = ANSWER_BYTES,
    unless = function() return self.cancelled end }
  if not done then return nil, fallback.of_error(err) end
  return try.adapter.heard(done, self.options)
end

local ask = { http = ask_http, process = ask_process }

local CANCELLED = { class = "cancelled", text = "cancelled", cut = true }
local NOTHING = { type = "final", text = "", words = {} }

local function failure_in(events)
  for _, event in ipairs(events) do
    local failure = bounds.failure_in(event)
    if failure then return failure end
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

-- Who takes over from one that listened all the time is given all since its last final text, and most of that may be a silence of a minute, which costs as
-- much as speech and takes as long. A sample in four is enough to find where it ends; loud is what has anything in its upper byte.
local function without_silence(pcm, from_ms, bytes_per_ms)
  for at = 2, #pcm, 8 do
    local upper = pcm:byte(at)
    if upper ~= 0 and upper ~= 255 then
      local left_out = math.floor(math.max(0, at / bytes_per_ms - BEFORE_MS))
      return pcm:sub(left_out * bytes_per_ms + 1), from_ms + left_out
    end
  end
  return pcm, from_ms
end

-- Answers one utterance: nil, or the failure.
local function answer(self, try, utterance)
  local pcm, from_ms = self.held:pcm_of(utterance)
  pcm, from_ms = without_silence(pcm, from_ms, self.held.bytes_per_ms)
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
