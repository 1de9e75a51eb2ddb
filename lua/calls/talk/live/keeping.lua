-- SPDX-License-Identifier: Apache-2.0
--- What is written down of a conversation that a realtime model leads: exchanges as soon as they are over, and what whoever takes the call up needs.
--- A part of calls.talk.live: each function takes its conversation.
local clocks = require "calls.talk.live.clocks"
local history = require "calls.talk.history"
local sentiment = require "calls.talk.sentiment"
local slots = require "calls.talk.slots"

local keeping = {}

local WORDS_LATE_MS = 1500  -- a provider may write down late what the caller said

--- What whoever goes on needs to know.
--- @param said table  the history, as it is to be kept
function keeping.kept_of(self, said)
  local kept = self.chronicle:kept(said)
  kept.desk, kept.lead, kept.mood, kept.temper, kept.misses = self.desk, self.lead, self.mood, self.temper, self.misses
  return kept
end

-- May he be pressing a number that he is asked for? What the greeting asks for is told in the first turn.
local function asks_keys(self)
  if self.slots then return slots.want_number(self.slots, self.desk.slots) end
  return self.args.expect == "digits" and self.chronicle.count == 0
end

--- Has the world keep that.
function keeping.keep(self)
  if self.world.asks_keys then self.world.asks_keys(asks_keys(self)) end
  if self.asks then self.asks:settle(history.has, self.leaving or self.ruling) end
  self.world.keep(keeping.kept_of(self, self.chronicle.history:kept()), self.pressed - #self.keys)
  self.pressed = #self.keys
end

--- Asks the script's rule about a turn, once.
function keeping.ask_rule(self, turn)
  if not self.rule or self.muted or turn.ruled or not turn.text:find("%S") then return end
  turn.ruled, self.ruled = true, self.ruled + 1
  local text = turn.keys and "" or turn.text
  local sounds, anger = sentiment.of(text, self.args.language)
  self.rule:watch({ n = self.ruled, text = text, keys = turn.keys, sentiment = sounds, angry = anger >= sentiment.ANGRY, misunderstood = self.misses,
    seconds = self.chronicle:seconds() }, turn.text)
end

-- How he sounded in an exchange.
local function weigh(self, exchange)
  local spoken, anger = false, 0
  for _, turn in ipairs(exchange.turns) do spoken = spoken or not turn.typed end
  if spoken then
    exchange.sentiment, anger = sentiment.of(exchange.user, self.args.language)
    self.mood = sentiment.mood(self.mood, exchange.sentiment)
  end
  self.temper = sentiment.temper(self.temper, anger)
end

--- An exchange (calls.talk.exchanges) is over: it is written, and may have been the last.
function keeping.exchange(self, exchange)
  if #exchange.turns > 0 then weigh(self, exchange) end
  local is_turn = self.chronicle:exchange(exchange, self.player)
  if is_turn then self.silences = 0 end
  if self.is_over then return end
  self:keep()
  for _, turn in ipairs(exchange.turns) do keeping.ask_rule(self, turn) end  -- whose last words never came
  if self.slots and is_turn then self.desk.slots, self.filled = slots.turned(self.slots, self.desk.slots) end
  if self.slots and (self.filled or slots.complete(self.slots, self.desk.slots)) and not self.leaving and not self.caller:is_speaking() and not self.exchanges:owes() then self:leave("filled") end
  if is_turn and (self.limit_passed or self.chronicle.count >= self.args.limit.turns) then self:leave("limit") end
end

--- Writes what is over; where words of the caller are still on their way, when they have come, or too late.
function keeping.flush(self)
  if not self.exchanges:flush() then return clocks.stop(self, "words") end
  if not self.clocks.words then clocks.after(self, "words", WORDS_LATE_MS, function() self.exchanges:flush(true) end) end
end

return keeping
