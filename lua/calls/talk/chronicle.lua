-- SPDX-License-Identifier: Apache-2.0
--- What of a conversation that a realtime model leads is written down: lines of the transcript with the times of their turns, and the history for whoever
--- goes on with it. It counts the turns.
---
--- chronicle.new(world, kept): world { now, transcript = function(line), timed, first_line, asks = of calls.talk.asks, or nil }; kept: of a predecessor, see calls.talk
local asks = require "calls.talk.asks"
local history = require "calls.talk.history"
local metrics = require "core.metrics"
local timeline = require "voice.timeline"

local chronicle = {}
chronicle.__index = chronicle

function chronicle.new(world, kept)
  return setmetatable({ world = world, began = world.now(), line = math.max(kept.line or 0, world.first_line or 0), count = kept.turns or 0,
    numbered = asks.newest_turn(kept, world.asks),
    history = history.new(kept.history), spent_ms = kept.spent_ms or 0, stopping = {} }, chronicle)
end

local function write(self, line)
  self.line = self.line + 1
  line.n = self.line
  line.began_ms, line.ended_ms = math.floor(line.began_ms - self.began), math.floor(line.ended_ms - self.began)
  self.world.transcript(line)
end

local function write_agent(self, text, all, whole, times)
  local now = self.world.now()
  write(self, { party = "agent", text = whole, heard = not all and text or nil, began_ms = times and times.at.first_packet or now, ended_ms = now, timeline = times and times:report() })
end

local function observe(self, times)
  local report = times:report()
  timeline.observe(report, function(name, seconds, help) metrics.observe(name, nil, seconds, help) end)
  if self.world.timed then self.world.timed(report) end
end

--- What the caller said and nobody answered, and how he sounded.
function chronicle:unanswered(text, began, ended, sounded)
  write(self, { party = "caller", text = text, sentiment = sounded, began_ms = began, ended_ms = ended or self.world.now() })
end

--- What we said by our own voice: as much of it as was heard, whether that is all, and all of it.
function chronicle:own(text, all, whole)
  if text == "" then return end
  write_agent(self, text, all, whole)
  self.history:add(nil, nil, text, all)
end

-- What was heard of the replies of an exchange.
local function heard_of(player, exchange)
  local texts, wholes, all_heard = {}, {}, true
  for _, number in ipairs(exchange.replies) do
    local text, all, whole = player:heard(number)
    if text ~= "" then texts[#texts + 1] = text end
    if whole ~= "" then wholes[#wholes + 1] = whole end
    all_heard = all_heard and all
    player:forget(number)
  end
  return table.concat(texts, " "), all_heard, table.concat(wholes, " ")
end

--- An exchange (calls.talk.exchanges) that is over. True where the caller had said something: it is a turn.
--- @param player table  calls.talk.player, which knows what was heard
function chronicle:exchange(exchange, player)
  local text, all, whole = heard_of(player, exchange)
  local now, times, is_turn = self.world.now(), exchange.line, #exchange.turns > 0
  if is_turn then self.numbered = self.numbered + 1 end
  times:is_of(is_turn and self.numbered or 0)
  if exchange.user ~= "" then write(self, { party = "caller", text = exchange.user, sentiment = exchange.sentiment, began_ms = exchange.began or now, ended_ms = exchange.ended or now }) end
  if whole ~= "" then write_agent(self, text, all, whole, times) end
  if exchange.user ~= "" or whole ~= "" or #exchange.steps > 0 then
    self.history:add(exchange.user ~= "" and exchange.user or nil, exchange.steps, text, all)
  end
  if times.at.stopping and not times.at.silent and exchange.replies[1] then
    for _, number in ipairs(exchange.replies) do self.stopping[number] = times end
  else
    observe(self, times)
  end
  if not is_turn then return false end
  self.count = self.count + 1
  metrics.count("converse_turns_total", nil, 1, "turns of conversations with callers")
  return true
end

--- That it was silent after it had been cut off is told when its exchange is written already.
function chronicle:silent(number, ms)
  local times = self.stopping[number]
  if not times then return end
  for other, of in pairs(self.stopping) do
    if of == times then self.stopping[other] = nil end
  end
  times:mark("silent", ms)
  observe(self, times)
end

-- How long it lasts.
local function spent_ms(self) return self.spent_ms + self.world.now() - self.began end

function chronicle:seconds() return math.floor(spent_ms(self) / 1000) end

--- What whoever goes on needs to know of it.
--- @param said table  the history, as it is to be kept
function chronicle:kept(said)
  return { history = said, turns = self.count, numbered = self.numbered, line = self.line, greeted = true, spent_ms = spent_ms(self) }
end

return chronicle
