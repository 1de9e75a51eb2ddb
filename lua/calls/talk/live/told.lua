-- SPDX-License-Identifier: Apache-2.0
--- What the session of the realtime model tells (speech.realtime), and what is done about it.
--- A part of calls.talk.live: each function takes its conversation.
local floor = require "calls.talk.live.floor"
local judging = require "calls.talk.live.judging"
local keeping = require "calls.talk.live.keeping"
local leaving = require "calls.talk.live.leaving"
local log = require "core.log"
local metrics = require "core.metrics"
local objection = require "calls.talk.live.objection"
local outgoing = require "calls.talk.live.outgoing"
local tool_calls = require "calls.talk.live.tool_calls"

local told = {}

local ASIDE_MOST = 64   -- replies that are left aside: speech.realtime_link knows no more answers
local TOLD_BYTES = 400  -- of a reply, its last words: as long as a card's number can be when it is said word by word

local AGAIN_MS = 20000  -- of the caller's sound is heard again by who goes on (speech.realtime)

local TURN = "turn "  -- the keys of what is asked for: who goes on behind the model has his own

-- Nothing more of that reply is played.
local function leave_aside(self, number)
  if self.aside[number] then return end
  self.aside[number], self.unheard = true, true
  self.asides[#self.asides + 1] = number
  if #self.asides > ASIDE_MOST then self.aside[table.remove(self.asides, 1)] = nil end
  self.player:over(number)  -- else the exchange that it was begun in is never over, and all behind it waits to be written down
  self.session:cancel(0, number)
end

-- The exchange that a reply is of, as a sign of it comes; nil where he has asked for a human.
local function answered(self, number)
  self.awaits = false
  if number ~= self.newest then
    self.newest = number
    self.caller:answered()
    for _, turn in ipairs(self.exchanges:waiting()) do
      judging.words(self, turn)
      if self.muted then return leave_aside(self, number) end
    end
  end
  local exchange = self.exchanges:says(number)
  if self.caller.ended and #exchange.turns > 0 then
    local committed = math.max(self.ended_at or 0, self.caller.ended)
    exchange.line:mark("ended", self.caller.ended)
    exchange.line:mark("committed", committed)
    exchange.line:chose(committed - self.caller.ended)  -- by the provider, which ends his turns
  end
  exchange.line:mark("first_token", self.world.now())
  exchange.line:mark("voice_asked", self.world.now())
  return exchange
end

-- Is it of no use any more?
local function is_unwanted(self, event)
  if self.aside[event.reply] or self.exchanges:is_past(event.reply) then return true end
  if not self.muted then return false end
  leave_aside(self, event.reply)
  return true
end

local on = {}

function on.ready(self, event)
  log.info("converse.led", { call = self.call.id, provider = event.provider, model = event.model })
  if event.untranscribed then self:notice("untranscribed", {}) end
  self.untranscribed = event.untranscribed
  if not event.again then return end
  self.awaits = false
  self.caller.provider_hears = false
  local kept_ms = self.caller:kept_ms(self.world.now())
  if kept_ms and kept_ms < AGAIN_MS then self:notice("again", { ms = kept_ms }) end
  self.exchanges:again()
end

function on.speech_started(self, event)
  self.caller.provider_hears, self.ended_at = true, nil
  self:notice("asked", { key = TURN .. event.turn, goes_on = true })
  self.heard_turn, self.unheard = math.max(self.heard_turn, event.turn), nil
  self.exchanges:spoke(event.turn, self.caller:since(self.world.now()))
  if not floor.is_guarded(self) and not floor.by_words(self) then floor.interrupt(self) end
end

function on.speech_ended(self)
  local now = self.world.now()
  self:notice("ended", {})
  self.caller.provider_hears, self.awaits, self.ended_at = false, true, now
  self.exchanges:quiet(self.caller.ended or now)
end

function on.user_text(self, event)
  local key = TURN .. event.turn
  -- One without words is a noise, and ends no number between the groups of which it was heard.
  if event.text:find("%S") then self:notice(event.final and "final" or "partial", { text = event.text, key = key }) end
  if event.final then self:notice("answered", { key = key }) end
  local turn = self.exchanges:words(event.turn, event.text, event.final, self.caller:since(self.world.now()))
  if leaving.heeds(self) then objection.heard(self, event, turn) end
  self.heard_turn = math.max(self.heard_turn, event.turn)
  if event.final then outgoing.heard(self, event.turn, event.text) end
  if event.final and not self.muted and not self.leaving then
    judging.words(self, turn)
    if not turn.judged then judging.nothing(self, turn) end
  end
  if event.final then keeping.ask_rule(self, turn) end
  keeping.flush(self)
end

function on.audio(self, event)
  if is_unwanted(self, event) or not answered(self, event.reply) then return end
  self.player:audio(event.reply, event.pcm)
end

function on.agent_text(self, event)
  if is_unwanted(self, event) or not answered(self, event.reply) then return end
  self.player:text(event.reply, event.text)
  if not self.world.telling then return end
  local before = self.told_of == event.reply and self.told or ""
  self.told_of, self.told = event.reply, (before .. event.text):sub(-TOLD_BYTES)
  self.world.telling(self.told, event.reply)
end

function on.audio_end(self, event)
  if not is_unwanted(self, event) then self.player:over(event.reply) end
end

function on.tool(self, event)
  if is_unwanted(self, event) then return self.session:tool_result(event.id, "nobody wants it any more", true) end
  if answered(self, event.reply) then return tool_calls.run(self, event) end
  self.session:tool_result(event.id, "nobody wants it any more", true)
end

function on.tool_cancelled(self, event)
  for i, call in ipairs(self.last_calls) do
    if call.id == event.id then table.remove(self.last_calls, i) break end
  end
  local exchange = self.running[event.id]
  self.running[event.id] = nil
  if exchange then self.exchanges:uncalled(exchange) end
  keeping.flush(self)
end

function on.interrupted(self)
  if self.player:is_busy() and not floor.is_guarded(self) and not leaving.human_of(self) then floor.interrupt(self) end
end

function on.turn_done(self, event)
  if is_unwanted(self, event) then return end
  if event.reason ~= "tool" then self.awaits = false end  -- it may have said nothing at all
  self.exchanges:done(event.reply, event.reason)
  self.player:over(event.reply)
  keeping.flush(self)
end

function on.error(self, event)
  log.warn("converse.realtime_lost", { call = self.call.id, class = event.class, text = event.text })
  metrics.count("conversations_unled_total", { class = event.class }, 1, "conversations that went on without the realtime model that led them")
  self.lost, self.awaits = event, false
  -- He speaks over what is held, and nobody hears him.
  if self.clocks.noise and self.caller:is_speaking() and not self.leaving then self:hand_over() end
end

--- An event of it.
function told.event(self, event)
  local run = on[event.type]
  if run then run(self, event) end
end

return told
