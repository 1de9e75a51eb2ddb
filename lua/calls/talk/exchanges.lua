-- SPDX-License-Identifier: Apache-2.0
--- Who said what, and in answer to what, in a conversation that a realtime model leads. No I/O and no clock.
---
---   turn of the caller ─┐
---   turn of the caller ─┴─ exchange ── reply ── (a tool) ── reply ...
---
--- An exchange is what the caller said and what he was answered: { user = text, began, ended = of his voice in ms or nil, replies = list of numbers, steps = messages
--- of its tools (ai.request), made = calls of them, line = timeline }. It is over when all that was said to him has been heard or cut off and nothing more is to come; his own words
--- may come later still, and are waited for a while. Those that are over are given back in their order.
---
--- exchanges.new{ over = function(exchange), line = function() -> timeline }
local exchanges = {}
exchanges.__index = exchanges

-- A provider that hears somebody without end is not to fill the memory: the oldest goes first.
local WAITING_MOST = 64   -- turns that nobody has answered
local KNOWN_MOST = 128    -- turns whose words may still come

function exchanges.new(world) return setmetatable({ world = world, turns = {}, ids = {}, forgotten = 0, unanswered = {}, by_reply = {}, replies = {}, list = {}, last = 0 }, exchanges) end

-- -- the caller ---------------------------------------------------------------------------------------------------------------

local function wait(self, turn)
  self.unanswered[#self.unanswered + 1] = turn
  if #self.unanswered > WAITING_MOST then table.remove(self.unanswered, 1) end
end

-- Ids are numbers that grow (speech.realtime).
local function turn_of(self, id, at)
  local turn = self.turns[id]
  if turn then return turn end
  turn = { text = "", began = at }
  if id <= self.forgotten then return turn end
  self.turns[id] = turn
  self.ids[#self.ids + 1] = id
  if #self.ids > KNOWN_MOST then
    local first = table.remove(self.ids, 1)
    self.turns[first], self.forgotten = nil, math.max(self.forgotten, first)
  end
  wait(self, turn)
  return turn
end

--- He begins to speak.
function exchanges:spoke(id, at) turn_of(self, id, at) end

--- He was heard until then.
function exchanges:quiet(at)
  for _, turn in ipairs(self.unanswered) do turn.ended = turn.ended or at end
end

--- What he said: all words of that turn so far.
function exchanges:words(id, text, final, at)
  local turn = turn_of(self, id, at)
  turn.text, turn.final = text, turn.final or final
  return turn
end

--- Something that needs no hearing: keys.
function exchanges:typed(text, at)
  local turn = { text = text, final = true, typed = true, began = at, ended = at }
  wait(self, turn)
  return turn
end

--- The sound that nobody has answered is heard once more, as other turns.
function exchanges:again()
  local rest = {}
  for _, turn in ipairs(self.unanswered) do
    if turn.typed then rest[#rest + 1] = turn end
  end
  self.unanswered = rest
end

--- The turns that nobody has answered.
function exchanges:waiting() return { unpack(self.unanswered) } end

--- Has he said something that was not answered?
function exchanges:owes() return #self.unanswered > 0 end

-- -- the model ----------------------------------------------------------------------------------------------------------------

local function text_of(turns)
  local list = {}
  for _, turn in ipairs(turns) do
    if turn.text:find("%S") then list[#list + 1] = turn.text:match("^%s*(.-)%s*$") end
  end
  return table.concat(list, " ")
end

local function is_final(turns)
  for _, turn in ipairs(turns) do
    if not turn.final then return false end
  end
  return true
end

-- Is all heard or cut off, and nothing more to come?
local function is_done(self, exchange)
  for _, number in ipairs(exchange.replies) do
    local reply = self.replies[number]
    if not reply.settled or not (reply.done or exchange.left) then return false end
  end
  return exchange.left or exchange.calls == 0 and not exchange.awaits
end

local function give(self, exchange)
  exchange.user = text_of(exchange.turns)
  for _, number in ipairs(exchange.replies) do
    self.by_reply[number], self.replies[number], self.last = nil, nil, math.max(self.last, number)
  end
  self.world.over(exchange)
end

--- Gives back what is over. True where words of the caller are still waited for.
--- @param now boolean|nil  they are waited for no longer
function exchanges:flush(now)
  while self.list[1] and self.list[1].over do
    if not now and not is_final(self.list[1].turns) then return true end
    give(self, table.remove(self.list, 1))
  end
  return false
end

local function look(self, exchange)
  if not exchange.over and is_done(self, exchange) then exchange.over = true end
end

-- Nothing more of it is waited for but its sound.
local function leave(self, exchange)
  exchange.left = true
  look(self, exchange)
end

local function open(self)
  if self.current then leave(self, self.current) end
  local first, last = self.unanswered[1], self.unanswered[#self.unanswered]
  local exchange = { turns = self.unanswered, replies = {}, steps = {}, calls = 0, made = 0, began = first and first.began, ended = last and last.ended, line = self.world.line() }
  self.unanswered, self.current = {}, exchange
  self.list[#self.list + 1] = exchange
  return exchange
end

--- The exchange that a reply is of. One that nobody asked for goes on with the last, unless that is over.
function exchanges:of(number)
  local exchange = self.by_reply[number]
  if exchange then return exchange end
  exchange = self.current
  if not exchange or exchange.over or exchange.left or #self.unanswered > 0 then exchange = open(self) end
  exchange.awaits = nil
  exchange.replies[#exchange.replies + 1] = number
  self.by_reply[number], self.replies[number] = exchange, {}
  return exchange
end

--- The same, of a reply that goes on just now: what was waited for has come.
function exchanges:says(number)
  local exchange = self:of(number)
  exchange.awaits = nil
  return exchange
end

--- Is that reply one of an exchange that has been given back?
function exchanges:is_past(number) return self.by_reply[number] == nil and number <= self.last end

--- The model is working at it: what it is to answer with has not ended yet.
function exchanges:is_open() return self.current ~= nil and not self.current.over end

--- We answer the caller ourselves.
function exchanges:take()
  local exchange = open(self)
  leave(self, exchange)
  return exchange
end

--- What the caller has said in it, as far as it is known.
function exchanges.said(exchange) return text_of(exchange.turns) end

--- A call of a tool was made, or has its result.
function exchanges:calls(exchange, more)
  exchange.calls = exchange.calls + more
  if more > 0 then exchange.made = exchange.made + more else exchange.awaits = true end
end

--- A call of a tool is to have no result any more.
function exchanges:uncalled(exchange)
  exchange.calls = exchange.calls - 1
  look(self, exchange)
end

--- Its calls get no results, and nothing more of it is waited for but its sound.
function exchanges:leave(exchange) leave(self, exchange) end

--- No more of a reply comes. Of one that was lost another goes on.
function exchanges:done(number, reason)
  local exchange = self:of(number)
  self.replies[number].done = true
  if reason == "lost" or reason == "failed" then exchange.awaits = true end
  look(self, exchange)
end

--- No more of a reply will be heard.
function exchanges:settled(number)
  local exchange = self.by_reply[number]
  if not exchange then return end
  self.replies[number].settled = true
  look(self, exchange)
end

--- Ends them all: nothing is waited for.
function exchanges:close()
  for _, exchange in ipairs(self.list) do exchange.over = true end
  self:flush(true)
end

--- What he said that nobody has answered: text, when he began, when he ended.
function exchanges:rest()
  local first, last = self.unanswered[1], self.unanswered[#self.unanswered]
  return text_of(self.unanswered), first and first.began, last and last.ended
end

return exchanges
