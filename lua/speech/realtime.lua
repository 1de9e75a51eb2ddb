-- SPDX-License-Identifier: Apache-2.0
--- A model that hears and speaks itself: the caller's sound in, the agent's sound out, over a WebSocket, whoever the provider is.
---
---   local session = realtime.open(world, { instructions, voice, tools, rate = 8000, language, history, on_event }, targets)
---   session:audio(pcm)                  what the caller says, silence too; never waits
---   session:text(text)                  said to the model as if by him (keys, or what is to be spoken of now); it answers
---   session:expect_answer()             he has ended, says our own voice detection: some providers do not tell, and a model that is silent then is lost
---   session:cancel(heard_ms, reply)     play nothing more: so much of that reply's sound had reached him. The reply is the last one unless given; those
---                                       behind it were not heard at all
---   session:tool_result(id, text, is_error)   of a call that was told: true; false when nobody wants it any more, and no answer comes of it
---   session:history()                   what was said, as messages of ai.request; of what was cut off, what was heard
---   session:close()                     next() returns nil, on_event is not called any more
---   session:next()                      the next event, unless there is an on_event; waits; one task at a time; nil: it is over
---
--- tools are those of ai.request: { name, description, parameters = JSON Schema }. history: its messages, of what was said before. Sound is 16 bit
--- little-endian mono at 8 kHz both ways, whatever the provider takes. All events are told in the order in which they happened:
---
---   ready { provider, model, again, untranscribed }    it listens; again = true after a connection that ended; untranscribed = true: it tells no user_text
---   speech_started { turn }, speech_ended    the caller, as the provider hears him; some tell the end only with the answer
---   user_text { turn, text, final }     what he said: all of that turn's words so far. The final one may come after the answer has begun, or never
---   audio { reply, pcm }                what is to be played; faster than it is spoken
---   agent_text { reply, text }          the next piece of what is spoken, about when its sound comes
---   audio_end { reply, ms }             that was all of its sound
---   tool { reply, id, name, arguments = JSON text, valid = it is an object }     the model waits for tool_result(); what it then says is of this reply, or of one more
---   tool_cancelled { id }               the result is not wanted any more
---   interrupted { reply }               the provider has given it up, for the caller speaks
---   turn_done { reply, reason = "end" | "tool" | "length" | "refused" | "interrupted" | "failed" | "lost", usage }    always, and last of a reply. "lost": the
---                                       connection broke, and after the next `ready` the model goes on in another reply
---   usage { usage }                     what was used besides: what a provider told late, or { model, seconds } of who wrote down what he said
---   error { class, text, retry, retry_after_s, failures }   the last event: no provider is left. The classes are those of speech.failure; retry:
---                                       the same may go well when it is asked again
---
--- What whoever plays has to do. When speech_started or interrupted comes while something is played (or our own voice detection says so):
--- stop, throw away what is left, and call cancel() once with what was heard. It need not have been interrupted by the provider: that one
--- sends faster than it is played, and has often ended long before. Sound of a reply that was cancelled is not told any more. A call that was made runs on
--- unless tool_cancelled comes.
---
--- A connection ends: at the provider's limit (an hour, ten minutes), where the next one is opened in a quiet moment; or it breaks, and then the same
--- provider is asked again if it had worked, and then the next. The next one is told what was said, and hears what the caller had said
--- without an answer, and all that he said meanwhile (20 s of it are kept). Nothing is told but `ready` with again = true.
---
--- usage: the units of speech.realtime_usage. It is paid for here as it is told (speech.realtime_meter), where there is an account.
local adapters = require "speech.adapters"
local fallback = require "speech.fallback"
local history = require "speech.realtime_history"
local link = require "speech.realtime_link"
local log = require "core.log"
local metrics = require "core.metrics"
local promise = require "lib.promise"
local task = require "core.task"

local realtime = {}

local BYTES_A_MS = 16                          -- of 16 bit mono at 8 kHz
local BEFORE_MS, KEPT_MS = 2000, 20000         -- of the caller's sound: in case he has just begun; while nobody hears or has answered him
local QUEUE_BYTES = 120000 * BYTES_A_MS        -- of what waits in next(), the model's sound and all texts: then nothing more is read
local EVENT_BYTES = 64                         -- what one counts for besides
local PROVEN_MS = 10000                        -- a connection that held so long had worked
local RETRY = { overload = true, timeout = true, network = true, server = true, protocol = true, rate = true, no_provider = true }

local Session = {}
Session.__index = Session

-- -- what is told -------------------------------------------------------------------------------------------------------------

local function bytes_of(event) return #(event.pcm or event.text or event.arguments or "") + EVENT_BYTES end

--- Tells an event. For the link.
function Session:tell(event)
  if self.closed then return end
  if self.on_event then return self.on_event(event) end
  self.events[#self.events + 1] = event
  self.queued = self.queued + bytes_of(event)
  if self.waiting then self.waiting:give() end
end

--- Waits until somebody has taken enough of what was told. For the link.
function Session:wait_room()
  while self.queued > QUEUE_BYTES and not self.closed do
    self.room = promise.new()
    self.room:wait()
  end
end

local function give_room(self)
  local room = self.room
  self.room = nil
  if room then room:give() end
end

function Session:next()
  while not self.closed do
    local event = table.remove(self.events, 1)
    if event then
      self.queued = self.queued - bytes_of(event)
      if self.queued <= QUEUE_BYTES then give_room(self) end
      return event
    end
    if self.over then return nil end
    self.waiting = promise.new()
    self.waiting:wait()
    self.waiting = nil
  end
  return nil
end

-- -- the caller's sound that may have to be heard again ---------------------------------------------------------------------------------

local function keep(self, pcm)
  local kept = self.kept
  kept[#kept + 1], kept.bytes = pcm, kept.bytes + #pcm
  local most = ((self.unanswered or not self.link) and KEPT_MS or BEFORE_MS) * BYTES_A_MS
  while kept.bytes > most do kept.bytes = kept.bytes - #table.remove(kept, 1) end
end

--- The caller speaks: his sound is kept until he is answered. For the link.
function Session:speaks(turn)
  self.unanswered, self.before = turn, self.replies
  self.said:user(turn)
end

--- This reply answers him, unless it had begun before he spoke.
function Session:answers(reply)
  if self.unanswered == nil or reply <= self.before then return end
  self.unanswered, self.kept = nil, { bytes = 0 }
end

--- A provider has taken the session on. A probe of its breaker has gone well then, and does not keep others waiting for as long as the call is.
function Session:opened(try)
  local now = self.world.mono_ms()
  self.world.health:ended(try.target, {}, try.probe or false)
  try.probe = self.world.health:began(try.target, {})
  metrics.observe("realtime_open_seconds", { kind = try.target.kind }, (now - try.began_ms) / 1000, "from asking for a realtime model until it listens")
  self.ready_ms, self.was_ready = now, true
end

-- -- what a caller of this does -------------------------------------------------------------------------------------------------------

function Session:audio(pcm)
  if self.over or self.closed or pcm == "" then return end
  keep(self, pcm)
  if self.link then self.link:audio(pcm) end
end

function Session:text(text)
  if self.over or self.closed or not text:find("%S") then return end
  self.turns = self.turns + 1
  self.said:user_text("text " .. self.turns, text)
  if self.link then self.link:text(text) end
end

function Session:expect_answer()
  if self.link then self.link:expect_answer() end
end

function Session:tool_result(id, text, is_error)
  if self.over or self.closed then return false end
  local call = self.said:tool_result(id, text, is_error)
  if call and self.link then self.link:tool_result(call, text, is_error) end
  return call ~= nil
end

function Session:cancel(heard_ms, reply)
  reply = reply or self.sounded
  if not reply or self.closed then return end
  self.said:heard(reply, heard_ms or 0)
  for later = reply + 1, self.replies do self.said:heard(later, 0) end
  if self.link then self.link:cancel(reply, heard_ms or 0) end
end

function Session:history() return self.said:messages() end

function Session:close()
  if self.closed then return end
  self.closed, self.over, self.events = true, true, {}
  give_room(self)
  if self.on_close then self.on_close() end
  if self.waiting then self.waiting:give() end
end

-- -- from connection to connection ----------------------------------------------------------------------------------------------------

-- All of them may be asked again, who is connected first.
local function again(self, target)
  local order = { target }
  for _, other in ipairs(self.targets) do
    if other ~= target then order[#order + 1] = other end
  end
  local failures = self.way.failures
  self.way = fallback.new(self.world, order, adapters.realtime, nil, self.account)
  self.way.failures = failures
end

local function guarded(self, try)
  local ok, failure = pcall(link.run, self, try)
  if ok then return failure end
  log.error("speech.adapter_broke", { provider = try.target.provider, kind = try.target.kind, text = tostring(failure) })
  return { class = "protocol", text = "the answer could not be read" }
end

local function give_up(self)
  local last = fallback.last(self.way, "realtime model")
  last.retry, last.retry_after_s = RETRY[last.class] or false, self.retry_after_s
  self:tell(last)
end

local function run(self)
  while not self.closed do
    local try = fallback.next(self.way)
    if not try then return give_up(self) end
    self.target = try.target
    local began = self.world.mono_ms()
    local failure = guarded(self, try)
    -- One that listens and does not answer has not worked, however long it has listened.
    local proven = self.proven or (failure and failure.class ~= "timeout" and self.ready_ms and self.world.mono_ms() - self.ready_ms > PROVEN_MS)
    local heard = self.ready_ms ~= nil
    self.link, self.ready_ms, self.proven = nil, nil, nil
    if self.closed then return fallback.ended(try, not heard and { class = "cancelled", text = "closed", cut = true } or nil) end
    if failure.renew and self.world.mono_ms() - began < PROVEN_MS then
      failure = { class = "server", text = "the provider ends its connections as soon as they are open" }
    end
    fallback.ended(try, not failure.renew and failure or nil)
    self.retry_after_s = failure.retry_after_s
    if failure.renew or failure.stale or proven then again(self, try.target) end
  end
end

--- Opens a session. Returns at once; a provider is connected meanwhile.
--- @param world table    { mono_ms, after, health, open_ws } of speech.world
--- @param options table  as above, and { ready_ms, answer_ms, idle_ms = the longest waits, silence_ms = after which the provider takes a turn as ended,
---   account = of speech.account }
--- @param targets table  of ai.providers, in the order in which they are tried
function realtime.open(world, options, targets)
  local asked = {}
  for name, value in pairs(options) do asked[name] = value end
  asked.tools, asked.language, asked.account = options.tools or {}, options.language or "en", nil
  if (options.rate or 8000) ~= 8000 then error("a realtime session has sound of 8000 Hz", 2) end
  local self = setmetatable({ world = world, options = asked, account = options.account, on_event = options.on_event, targets = targets, events = {}, queued = 0, kept = { bytes = 0 },
    said = history.new(options.history), replies = 0, turns = 0, handles = {}, way = fallback.new(world, targets, adapters.realtime, nil, options.account) }, Session)
  task.spawn(function()
    run(self)
    self.over = true
    if self.waiting then self.waiting:give() end
  end)
  return self
end

return realtime
