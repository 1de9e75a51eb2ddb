-- SPDX-License-Identifier: Apache-2.0
--- Recognisers that listen while one speaks, over a WebSocket.
local bounds = require "speech.bounds"
local fallback = require "speech.fallback"
local minutes = require "speech.minutes"

local live = {}

local CONNECT_MS = 2000
local CLOSE_MS = 1000           -- for the last words after the session is finished and its utterances answered

local CANCELLED = { class = "cancelled", text = "cancelled", cut = true }

local Link = {}
Link.__index = Link

local function fail(self, failure)
  self.failure = self.failure or failure
  self.socket:drop()
end

local function stop_limit(self)
  if self.limit then self.limit:cancel() end
  self.limit = nil
end

-- The answer to an utterance that has been ended by flush must come.
local function start_limit(self)
  local first = self.session.held:first_closed()
  if self.limit or not first then return end
  local ms = self.session.options.answer_ms
  self.limit = self.session.world.after(ms, function()
    self.limit = nil
    -- One that is there, and has left nothing open, has heard nothing. What it has begun and does not end another is to hear.
    if self.messages > first.messages and not self.reader:pending() then return self:settle{ type = "final", text = "", words = {}, flushed = true } end
    fail(self, { class = "timeout", text = ("no final text within %d ms"):format(ms) })
  end)
end

local function send(self, data, binary)
  if data == nil or self.failure then return end
  local ok, err = self.socket:send(data, binary)
  if not ok then fail(self, { class = err.code == "limit" and "timeout" or "network", text = err.text }) end
end

-- Sends sound, or that an utterance is over.
function Link:pcm(pcm, utterance)
  self.fed = true
  if pcm then
    self.minutes:heard(#pcm / self.session.held.bytes_per_ms / 1000)
    return send(self, self.adapter.audio(pcm, self.session.options))
  end
  utterance.asked = utterance.bytes > 0 or self.reader:pending()
  if not utterance.asked then return end
  -- A sign of life from before does not tell that it has heard this: it may have fallen silent since.
  utterance.messages = self.messages
  send(self, self.adapter.flush())
end

-- Where nothing was said since the last final text, nobody need be asked: some would not answer.
function Link:go_on()
  local first = self.session.held:first_closed()
  if first and not first.asked then return self:settle{ type = "final", text = "", words = {}, flushed = true } end
  start_limit(self)
end

-- A final text: its times from the connection's to the session's, and what it covers needs no other recogniser.
function Link:settle(event)
  local session = self.session
  self.has_partial = nil
  for _, word in ipairs(event.words) do word.from_ms, word.to_ms = word.from_ms + self.base_ms, word.to_ms + self.base_ms end
  if event.until_ms then session.held:heard(event.until_ms + self.base_ms) end
  if event.text ~= "" or event.flushed then session:tell(event) end
  if event.flushed then
    stop_limit(self)
    if event.text ~= "" then session:took_final(self.try) end
    session.held:answered()
    session:tell{ type = "utterance_end" }
    self:go_on()
    if session.finishing then self:finish() end
  end
  fallback.again(session.way)
end

function Link:finish()
  if self.session.held:first_closed() or self.finished then return end
  self.finished = true
  send(self, self.adapter.finish())
  self.closing = self.session.world.after(CLOSE_MS, function() self.socket:drop() end)
end

local function take(self, event)
  local failure = bounds.failure_in(event)
  if failure then return fail(self, failure) end
  if event.type == "final" then
    fallback.first(self.try)
    return self:settle(event)
  end
  if event.type == "partial" then
    fallback.first(self.try)
    -- Sound comes as fast as it is spoken, so what was fed since is the time that has passed.
    if event.until_ms and not self.has_partial then
      fallback.took(self.try, "first_partial", math.max(0, self.session.held.end_ms - event.until_ms - self.base_ms))
    end
    self.has_partial = true
  end
  if event.at_ms then event.at_ms = event.at_ms + self.base_ms end
  if event.type == "utterance_end" then event.unasked = true end  -- by itself, not in answer to flush
  self.session:tell(event)
end

local function read(self)
  while true do
    local data, binary = self.socket:next()
    local events
    if data then
      self.messages = self.messages + 1
      events = self.reader:feed(data, binary)
    else
      events = (self.failure or self.session.cancelled) and {} or self.reader:closed(binary, self.finished)
    end
    for _, event in ipairs(events) do
      if not self.failure and not self.session.cancelled then take(self, event) end
    end
    if data == nil then return end
  end
end

local function keep_alive(self)
  local text, ms = self.adapter.keepalive()
  if not text then return nil end
  return self.session.world.every(ms, function()
    if not self.fed then send(self, text) end
    self.fed = false
  end)
end

--- Listens until the session is finished: nil, or the failure that it ended with.
function live.run(session, try)
  local adapter = try.adapter
  local link
  local paid, refused = minutes.begin(try, function(failure) fail(link, failure) end)
  if not paid then return refused end
  if session.cancelled then
    paid:over(CANCELLED)
    return CANCELLED
  end
  local asked = adapter.request(session.options, try.target)
  local opening
  session.on_cancel = function() opening:drop() end
  local socket, err = session.world.open_ws{ url = asked.url, headers = asked.headers, protocol = asked.protocol, ca_file = try.target.ca_file, connect_ms = CONNECT_MS,
    on_begin = function(begun) opening = begun end }
  session.on_cancel = nil
  if not socket then
    local failure = err.status and adapter.refused(err) or fallback.of_error(err)
    paid:over(failure)
    return failure
  end
  local self = setmetatable({ session = session, try = try, adapter = adapter, socket = socket, reader = adapter.reader(session.options, try.target),
    base_ms = session.held:start_ms(), minutes = paid, messages = 0 }, Link)
  link = self
  session.on_cancel = function() socket:drop() end
  session.held:replay(function(pcm, utterance) self:pcm(pcm, utterance) end)
  session.on_pcm = function(pcm, utterance)
    self:pcm(pcm, utterance)
    if not pcm then self:go_on() end
  end
  self:go_on()
  session.on_finish = function() self:finish() end
  if session.finishing then self:finish() end
  local alive = keep_alive(self)
  local ok, wrong = pcall(read, self)
  session.on_pcm, session.on_finish, session.on_cancel = nil, nil, nil
  stop_limit(self)
  if self.closing then self.closing:cancel() end
  if alive then alive:cancel() end
  socket:drop()
  local failure = not self.finished and (self.failure or session.cancelled and CANCELLED or { class = "network", text = "the connection closed" }) or nil
  paid:over(failure)
  if not ok then error(wrong, 0) end
  return failure
end

return live
