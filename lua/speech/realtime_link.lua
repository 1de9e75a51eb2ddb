-- SPDX-License-Identifier: Apache-2.0
--- One connection of a session with a realtime model: it carries what is said both ways, watches that an answer comes, and ends where the provider's limit is near.
--- What is a provider's own stands in its plugin, plugins.realtime_KIND, as `realtime`:
---
---   request(options, target) -> { url, headers };  refused(err) -> failure of a handshake;  longest_ms = a connection's age at which it is to be renewed, or nil
---   tokens_a_second = of its own sound: what an answer is taken to have cost that broke off before that was told
---   usage_with_done = what an answer used is told when it is done, or by nobody
---   connection(options, target, handle) -> codec
---
--- A codec encodes and decodes, and does nothing; its functions give lists of texts that are to be sent. A reply is known by a key of its own.
---   input                             in which form it takes sound: "ulaw", "alaw" or a rate in Hz
---   one_reply                         what is said of a call's result is of the reply that called
---   opened()                          the first that is said
---   begun(messages, owes)             it has been taken on: what was said before, and what the model owes (speech.realtime_history)
---   audio(bytes), text(text), tool_result(call, text, is_error, known = it was made on this connection), cancel(key, heard_ms)
---   feed(data, binary) -> events      { type = "ready", untranscribed = no user_text comes }, { "send", text }, { "speech_started", id = of the turn, words = only they say so }, { "speech_ended" },
---     { "user_text", id, text = all of it, final }, { "usage", usage }, { "reply", key }, { "audio", key, bytes, form }, { "agent_text", key, text },
---     { "audio_end", key }, { "tool", key, id, name, arguments },
---     { "tool_cancelled", id }, { "interrupted", key }, { "done", key, reason, usage }, { "resume", handle }, { "renew", ms }, { "error", class, text, ... }
---   rest() -> usage | nil             what was told of an answer that is not done; may be left out
---   closed(err) -> failure            nobody had asked for it; { renew = true }: it is the provider's limit
local fallback = require "speech.fallback"
local json = require "core.json"
local meter = require "speech.realtime_meter"
local pcm = require "core.pcm"
local realtime_usage = require "speech.realtime_usage"
local wav = require "speech.wav"

local link = {}

local CONNECT_MS, READY_MS, ANSWER_MS, IDLE_MS = 3000, 5000, 8000, 8000
local MESSAGE_LIMIT, QUEUE_LIMIT, HOLD_LIMIT = 2 * 1024 * 1024, 2 * 1024 * 1024, 1024 * 1024
local RATE, BYTES_A_MS = 8000, 16
local BATCH_BYTES, REPLAY_BYTES = 40 * BYTES_A_MS, 500 * BYTES_A_MS  -- how much of the caller's sound goes into one message
local REPLY_MOST_MS = 600000
local TEXT_MOST = 64 * 1024       -- bytes of a reply, its calls included, and of a caller's turn: what is spoken in ten minutes is a quarter of it
local CALLS_MOST = 64
local CALL_BYTES = 200            -- what a call counts for besides its text
local KEPT = 32                   -- turns of the caller's, and answers: what belongs to one before them is of nothing
local NAME_MOST = 1000            -- bytes of what a provider calls something by
local RENEW_WAIT_MS = 240000      -- how long a quiet moment is waited for behind longest_ms
local LATE_MS = 1000              -- left of the time that a provider gives
local CHECK_MS = 500

local CANCELLED = { class = "cancelled", text = "cancelled", cut = true }

local Link = {}
Link.__index = Link

local function fail(self, failure)
  self.failure = self.failure or failure
  self.socket:drop()
end

local function send(self, texts)
  for _, text in ipairs(texts or {}) do
    if self.failure then return end
    local ok, err = self.socket:send(text)
    if not ok then return fail(self, { class = err.code == "limit" and "timeout" or "network", text = err.code == "limit" and "the provider does not take what is said" or err.text }) end
  end
end

-- -- sound ------------------------------------------------------------------------------------------------------------------------------

local function resampler(from, to)
  if from == to then return { feed = function(_, bytes) return bytes end, reset = function() end } end
  return assert(pcm.resampler(from, to))
end

local function encoded(self, bytes)
  local form = self.codec.input
  if type(form) == "string" then return pcm.encode(form, bytes) end
  self.up = self.up or resampler(RATE, form)
  return self.up:feed(bytes)
end

-- A reply's sound as it is played. It may be cut within a sample.
local function decoded(self, reply, event)
  if type(event.form) == "string" then return pcm.decode(event.form, event.bytes) end
  if self.down_rate ~= event.form then self.down, self.down_rate = resampler(event.form, RATE), event.form end
  if self.down_of ~= reply then
    self.down:reset()
    self.down_of = reply
  end
  reply.samples = reply.samples or wav.samples()
  return self.down:feed(reply.samples(event.bytes))
end

local function say(self, bytes) send(self, self.codec:audio(encoded(self, bytes))) end

--- Takes what the caller says.
function Link:audio(bytes)
  self.batch = self.batch .. bytes
  if #self.batch < BATCH_BYTES then return end
  bytes, self.batch = self.batch, ""
  say(self, bytes)
end

local function replay(self)
  local all = table.concat(self.session.kept)
  for at = 1, #all, REPLAY_BYTES do say(self, all:sub(at, at + REPLAY_BYTES - 1)) end
end

-- -- what the session does ------------------------------------------------------------------------------------------------------------

local function await(self)
  self.awaiting_ms = self.session.world.mono_ms()
end

function Link:text(text)
  await(self)
  send(self, self.codec:text(text))
end

function Link:expect_answer()
  if not self.awaiting_ms then await(self) end
end

function Link:tool_result(call, text, is_error)
  local reply = self.calls[call.id]
  local known = reply ~= nil
  self.calls[call.id] = nil
  if known then self.open_calls, reply.owes = self.open_calls - 1, self.codec.one_reply and not reply.done end
  self.heard_ms = self.session.world.mono_ms()
  await(self)
  send(self, self.codec:tool_result(call, text, is_error, known))
end

--- Nothing more of this reply and those behind it is wanted.
function Link:cancel(number, heard_ms)
  for _, reply in ipairs(self.replies) do
    if reply.number >= number and not reply.cut then
      local heard = reply.number == number and heard_ms or 0
      reply.cut, reply.stopped = true, true
      if not reply.done or heard < reply.ms then send(self, self.codec:cancel(reply.key, heard)) end
    end
  end
end

-- -- what the provider does -----------------------------------------------------------------------------------------------------------

local take = {}

function take.send(self, event) send(self, { event.text }) end

function take.ready(self, event)
  if self.ready then return end
  local session = self.session
  self.ready = true
  session:opened(self.try)
  local spoken = session.unanswered
  local owes = session.said:owes(spoken)
  send(self, self.codec:begun(session.said:messages(spoken), owes))
  if owes then await(self) end
  -- From here on it is told what is said: nothing may come between what was kept and that.
  session.link = self
  replay(self)
  session:tell{ type = "ready", provider = self.try.target.provider, model = self.try.target.model, again = self.again or nil,
    untranscribed = event.untranscribed }
end

local function fits(self, bytes)
  if bytes <= TEXT_MOST then return true end
  fail(self, { class = "protocol", text = ("more than %d KiB of text in one answer or turn"):format(TEXT_MOST / 1024) })
  return false
end

local function turn_of(self, id)
  local turn = self.turns[id]
  if turn then return turn end
  local ids = self.turn_ids
  self.session.turns = self.session.turns + 1
  turn = self.session.turns
  self.turns[id], ids[#ids + 1] = turn, id
  if #ids > KEPT then self.turns[table.remove(ids, 1)] = nil end
  return turn
end

function take.speech_started(self, event)
  self.caller = true
  self.awaiting_ms = event.words and self.awaiting_ms and self.session.world.mono_ms() or nil
  local turn = turn_of(self, event.id)
  self.session:speaks(turn)
  self.session:tell{ type = "speech_started", turn = turn }
end

function take.speech_ended(self)
  self.caller = false
  await(self)
  self.session:tell{ type = "speech_ended" }
end

function take.user_text(self, event)
  if not fits(self, #event.text) then return end
  local turn = turn_of(self, event.id)
  if self.awaiting_ms then await(self) end  -- it still listens
  self.session.said:user_text(turn, event.text)
  self.session:tell{ type = "user_text", turn = turn, text = event.text, final = event.final or nil }
end

function take.usage(self, event)
  if event.usage.model then self.paid:transcribed(event.usage) else self.paid:used(event.usage) end
  self.session:tell{ type = "usage", usage = event.usage }
end

-- Room for one more: the oldest that is done goes. False when none is.
local function make_room(self)
  if #self.replies < KEPT then return true end
  for i, reply in ipairs(self.replies) do
    if reply.done then
      self.by_key[table.remove(self.replies, i).key] = nil
      return true
    end
  end
  return false
end

function take.reply(self, event)
  if not make_room(self) then return fail(self, { class = "protocol", text = ("more than %d answers at a time"):format(KEPT) }) end
  local session = self.session
  session.replies = session.replies + 1
  local reply = { key = event.key, number = session.replies, ms = 0, bytes = 0 }
  self.replies[#self.replies + 1], self.by_key[event.key] = reply, reply
  self.awaiting_ms = nil
end

-- A result is answered.
local function goes_on(self, reply)
  if not reply.owes then return end
  reply.owes, self.awaiting_ms = nil, nil
end

function take.audio(self, event, reply)
  local session = self.session
  if reply.stopped then return end
  goes_on(self, reply)
  local bytes = decoded(self, reply, event)
  if bytes == "" then return end
  session:answers(reply.number)
  session.sounded = reply.number
  local ms = #bytes / BYTES_A_MS
  reply.ms = reply.ms + ms
  session.said:audio(reply.number, ms)
  if reply.ms > REPLY_MOST_MS then return fail(self, { class = "protocol", text = ("more than %d s of sound in one answer"):format(REPLY_MOST_MS / 1000) }) end
  session:tell{ type = "audio", reply = reply.number, pcm = bytes }
end

function take.agent_text(self, event, reply)
  if reply.stopped or event.text == "" then return end
  goes_on(self, reply)
  reply.bytes = reply.bytes + #event.text
  if not fits(self, reply.bytes) then return end
  self.session.said:agent_text(reply.number, event.text)
  self.session:tell{ type = "agent_text", reply = reply.number, text = event.text }
end

function take.audio_end(self, _, reply)
  if reply.all then return end
  reply.all, reply.all_ms = true, self.session.world.mono_ms()
  if reply.ms > 0 then self.session:tell{ type = "audio_end", reply = reply.number, ms = reply.ms } end
end

function take.tool(self, event, reply)
  if self.calls[event.id] ~= nil then return end
  if self.open_calls >= CALLS_MOST then return fail(self, { class = "protocol", text = ("more than %d calls at a time"):format(CALLS_MOST) }) end
  reply.bytes = reply.bytes + #event.id + #event.name + #event.arguments + CALL_BYTES
  if not fits(self, reply.bytes) then return end
  self.calls[event.id], self.open_calls = reply, self.open_calls + 1
  self.session:answers(reply.number)
  self.session.said:tool(reply.number, { id = event.id, name = event.name, arguments = event.arguments })
  local valid = event.arguments:find("^%s*{") ~= nil and type((json.decode(event.arguments))) == "table"
  self.session:tell{ type = "tool", reply = reply.number, id = event.id, name = event.name, arguments = event.arguments, valid = valid }
end

function take.tool_cancelled(self, event)
  if self.calls[event.id] == nil then return end
  self.calls[event.id], self.open_calls = nil, self.open_calls - 1
  self.session.said:tool_cancelled(event.id)
  self.session:tell{ type = "tool_cancelled", id = event.id }
end

function take.interrupted(self, _, reply)
  if reply.stopped then return end
  reply.stopped = true
  self.session:tell{ type = "interrupted", reply = reply.number }
end

-- What is paid for sound of which nobody told what it used, less what was told; nil where that is nothing.
local function estimated(self, ms, told)
  local tokens = math.ceil(ms / 1000 * self.try.adapter.tokens_a_second) - told
  return tokens > 0 and realtime_usage.of({ output = tokens }, { output = tokens }) or nil
end

function take.done(self, event, reply)
  if reply.done then return end
  take.audio_end(self, event, reply)
  reply.done = true
  if self.awaiting_ms then await(self) end  -- what was asked meanwhile is answered from now on
  self.session.said:done(reply.number, event.reason == "lost", reply.stopped)
  if event.reason ~= "failed" and event.reason ~= "lost" then self.session.proven = true end
  local used = event.usage
  if not used and self.try.adapter.usage_with_done and not reply.paid then used = estimated(self, reply.ms, 0) end
  if used then self.paid:used(used) end
  self.session:tell{ type = "turn_done", reply = reply.number, reason = reply.stopped and event.reason ~= "failed" and "interrupted" or event.reason, usage = event.usage }
end

function take.resume(self, event) self.session.handles[self.try.target] = event.handle end

function take.renew(self, event)
  local by_ms = self.session.world.mono_ms() + math.max(0, event.ms - LATE_MS)
  self.renew_by_ms = math.min(self.renew_by_ms or math.huge, by_ms)
end

function take.error(self, event) fail(self, event.renew and { renew = true } or event) end

local OF_REPLY = { audio = true, agent_text = true, audio_end = true, tool = true, interrupted = true, done = true }

local function is_long(name) return type(name) == "string" and #name > NAME_MOST end

local function tell(self, events)
  for _, event in ipairs(events) do
    if self.failure or self.session.closed then return end
    if is_long(event.id) or is_long(event.key) or is_long(event.name) then
      return fail(self, { class = "protocol", text = ("a name of more than %d bytes"):format(NAME_MOST) })
    end
    local reply = OF_REPLY[event.type] and self.by_key[event.key]
    if reply or not OF_REPLY[event.type] then take[event.type](self, event, reply) end
  end
end

-- -- time ---------------------------------------------------------------------------------------------------------------------------------

local function active(self)
  for i = #self.replies, 1, -1 do
    if not self.replies[i].done then return self.replies[i] end
  end
end

local function overdue(self, now)
  local options = self.session.options
  if not self.ready then
    local ms = options.ready_ms or READY_MS
    return now - self.opened_ms > ms and ("not ready within %d ms"):format(ms)
  end
  if self.open_calls > 0 or self.full then return nil end
  local reply, idle_ms = active(self), options.idle_ms or IDLE_MS
  if reply and not reply.all then return now - self.heard_ms > idle_ms and ("an answer did not go on within %d ms"):format(idle_ms) end
  -- When all of its sound has come, its end may wait until it has been played, and not longer.
  if reply and now - reply.all_ms <= reply.ms + idle_ms then return nil end
  local ms = options.answer_ms or ANSWER_MS
  return self.awaiting_ms and now - self.awaiting_ms > ms and ("no answer within %d ms"):format(ms)
end

-- Ends a connection that is silent, or as old as it may become.
local function check(self)
  if self.failure or self.session.closed then return end
  local now = self.session.world.mono_ms()
  self.paid:passed()
  local late = overdue(self, now)
  if late then return fail(self, { class = "timeout", text = late }) end
  local longest = self.try.adapter.longest_ms
  if longest and not self.renew_by_ms and now - self.opened_ms > longest then self.renew_by_ms = now + RENEW_WAIT_MS end
  if not self.renew_by_ms then return end
  local quiet = self.ready and not self.caller and not self.awaiting_ms and self.open_calls == 0 and not active(self)
  if quiet or now >= self.renew_by_ms then fail(self, { renew = true }) end
end

-- -- the connection ---------------------------------------------------------------------------------------------------------------------

local function read(self)
  while true do
    local data, binary = self.socket:next()
    if data == nil then
      if not self.failure and not self.session.closed then self.failure = self.codec:closed(binary) end
      return
    end
    self.heard_ms = self.session.world.mono_ms()
    tell(self, self.codec:feed(data, binary))
    self.full = true
    self.session:wait_room()
    self.full, self.heard_ms = false, self.session.world.mono_ms()
    if self.failure or self.session.closed then return end
  end
end

-- A provider is paid for what it has said, though it was not there to tell how much that was, or not of all of it.
local function pay_for_rest(self)
  local ms, told = 0, self.codec.rest and self.codec:rest()
  if told then self.paid:rest(told) end
  for _, reply in ipairs(self.replies) do
    if not reply.done then ms, reply.paid = ms + reply.ms, true end
  end
  local rest = estimated(self, ms, told and told.audio_output or 0)
  if rest then self.paid:rest(rest) end
end

-- What it was in the middle of does not come to an end any more.
local function leave_replies(self)
  for _, reply in ipairs(self.replies) do
    if not reply.done and not self.session.closed then take.done(self, { reason = reply.stopped and "interrupted" or "lost" }, reply) end
  end
end

local function connect(session, try, paid)
  local adapter, target, world = try.adapter, try.target, session.world
  local asked = adapter.request(session.options, target)
  local opening
  session.on_close = function() if opening then opening:drop() end end
  local socket, err = world.open_ws{ url = asked.url, headers = asked.headers, ca_file = target.ca_file, connect_ms = CONNECT_MS, message_limit = MESSAGE_LIMIT,
    queue_limit = QUEUE_LIMIT, hold_limit = HOLD_LIMIT, on_begin = function(begun) opening = begun end }
  session.on_close = nil
  if not socket then return err.status and adapter.refused(err) or fallback.of_error(err) end
  local handle = session.handles[target]
  local self = setmetatable({ session = session, try = try, paid = paid, socket = socket, codec = adapter.connection(session.options, target, handle), batch = "", turns = {}, turn_ids = {},
    again = session.was_ready, replies = {}, by_key = {}, calls = {}, open_calls = 0, opened_ms = world.mono_ms(), heard_ms = world.mono_ms() }, Link)
  session.on_close = function() socket:close(1000) end
  function paid.on_refused(failure) fail(self, failure) end
  if session.closed then socket:drop() end
  send(self, self.codec:opened())
  local shortest = math.min(session.options.ready_ms or READY_MS, session.options.answer_ms or ANSWER_MS, session.options.idle_ms or IDLE_MS)
  local timer = world.every(math.max(10, math.min(CHECK_MS, shortest / 4)), function() check(self) end)
  local ok, wrong = pcall(read, self)
  timer:cancel()
  session.on_close, session.link = nil, nil
  socket:drop()
  pay_for_rest(self)
  leave_replies(self)
  if not ok then error(wrong, 0) end
  if session.closed then return nil end
  local failure = self.failure or { class = "network", text = "the connection closed" }
  if handle and not self.ready and not failure.renew then
    -- It may be the handle that is too old: once more, from what was said.
    session.handles[target] = nil
    failure.stale = true
  end
  return failure
end

--- Holds a conversation until the session is closed: nil; or until the connection ends: a failure, or { renew = true }.
function link.run(session, try)
  local paid, refused = meter.begin(try)
  if not paid then return refused end
  if session.closed then
    paid:over(CANCELLED)
    return nil
  end
  local ok, failure = pcall(connect, session, try, paid)
  paid:over(ok and failure and not failure.renew and failure or nil)
  if not ok then error(failure, 0) end
  return failure
end

return link
