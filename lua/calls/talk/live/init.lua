-- SPDX-License-Identifier: Apache-2.0
--- A conversation that a realtime model leads (speech.realtime): it hears the caller and speaks to him by itself. What stays ours are the greeting and what
--- else we say in our own words, the tools, the limits, whether he is still there, when a human takes over, and what of it is written down.
---
---   leg ── sound ───────────> session ── sound, text ──> player ── plays ──> leg
---   leg ── VAD, keys ──┐         │  ▲
---                      ▼         ▼  └── what was heard, results
---                   floor     tools, exchanges ──> chronicle                mouth: our own words
---
--- Its parts each take the conversation: what the session tells (told) and who has the floor are where it begins; what comes of it are tool_calls, judging of the
--- caller's words, leaving, and keeping of what was said.
---
--- Where no realtime model is left the conversation is not over: world.over is given { lost = the failure, going = what calls.talk goes on with }, when
--- all that is there has been heard, or the caller speaks.
---
--- live.new takes what talk.new takes; of its world open_ears, is_live, answer and headings are not used, chat and has_model for the summary only, and
---   world.lead = function(options) -> session of speech.realtime
---
--- How the caller sounds is told by his words alone, and the script's rule is asked as soon as they are there: the model does not wait for it, and is cut off
--- when it says that he is to be put through. What a tool gives that was still running when the model was lost stands in the history of who goes on.
local asks = require "calls.talk.asks"
local briefing = require "calls.talk.live.briefing"
local caller = require "calls.talk.caller"
local chronicle = require "calls.talk.chronicle"
local clocks = require "calls.talk.live.clocks"
local exchanges = require "calls.talk.exchanges"
local floor = require "calls.talk.live.floor"
local keeping = require "calls.talk.live.keeping"
local keys = require "calls.talk.live.keys"
local leaving = require "calls.talk.live.leaving"
local log = require "core.log"
local mouth = require "calls.talk.mouth"
local objection = require "calls.talk.live.objection"
local over = require "calls.talk.over"
local own_tools = require "calls.talk.own_tools"
local own_words = require "calls.talk.live.own_words"
local player = require "calls.talk.player"
local rule = require "calls.talk.rule"
local sentiment = require "calls.talk.sentiment"
local sentences = require "calls.talk.sentences"
local slots = require "calls.talk.slots"
local summary = require "calls.talk.summary"
local timeline = require "voice.timeline"
local told = require "calls.talk.live.told"
local tools = require "calls.talk.tools"
local turns = require "voice.turns"

local Live = {}
Live.__index = Live
Live.close, Live.finish = over.close, over.finish
Live.keep, Live.leave, Live.say = keeping.keep, leaving.leave, own_words.say

local ANSWER_MS = 6000         -- the longest silence until the model answers
local PAST_LIMIT_MS = 60000    -- the last sentence, and not more
local SILENCE_MS, SILENCE_MORE_MS, PROMPTS = turns.defaults.silence_ms, turns.defaults.silence_more_ms, turns.defaults.prompts

-- -- what is waited for -----------------------------------------------------------------------------------------------------------

-- Is the floor the caller's, and does he not take it?
local function is_silent(self)
  return not (floor.is_sounding(self) or self.caller:is_speaking() or self.awaits or self.exchanges:is_open() or self.leaving or self.lost) and #self.keys == 0
end

local function ask_whether_there(self)
  self.silences = self.silences + 1
  if self.silences > PROMPTS then return self:finish{ wants_human = false, why = "silence" } end
  self:say(self.says.silence)
end

-- What is to be done now that something has happened.
local function look(self)
  if self.is_over then return end
  if self.leaving and not floor.is_sounding(self) and not (self.leaving == "limit" and self.exchanges:is_open()) then
    if not self.clocks.leave_soon and not objection.is_awaited(self) then return leaving.go(self) end
  elseif self.lost and not floor.is_sounding(self) then
    return self:hand_over()
  end
  if not is_silent(self) then return clocks.stop(self, "silence") end
  if not self.clocks.silence then clocks.after(self, "silence", self.silences > 0 and SILENCE_MORE_MS or SILENCE_MS, ask_whether_there) end
end

--- Does something that happened, fn(self, ...), and what is to be done then. What breaks in it ends the conversation.
function Live:safely(fn, ...)
  if self.is_over then return end
  local ok, err = pcall(fn, self, ...)
  if ok then ok, err = pcall(look, self) end
  if ok then return end
  log.error("converse.broke", { call = self.call.id, text = tostring(err) })
  self:finish{ failed = "something went wrong on our side" }
end

--- Tells the world what is noticed of the caller: see calls.talk. Nothing where nobody writes down what he says.
function Live:notice(kind, fields)
  if self.world.noticed and not self.untranscribed then self.world.noticed(kind, fields) end
end

-- -- ends -------------------------------------------------------------------------------------------------------------------------------

--- See calls.talk.summary.
function Live:sum_up(why) return summary.about(self, self.chronicle.history:kept(), self.chronicle.count, why) end

--- Writes what was being said when it ended, by us and by him.
function Live:write_open()
  self.player:cut()
  own_words.cut(self, true)
  for id in pairs(self.own) do own_words.heard(self, id, self.mouth:drop(id)) end
  local text, began, ended = self.exchanges:rest()
  self.exchanges:close()
  if text ~= "" then self.chronicle:unanswered(text, began, ended, (sentiment.of(text, self.args.language))) end
end

--- Lets go of session, synthesiser, plays and clocks.
function Live:let_go(keep_sound)
  for name in pairs(self.clocks) do clocks.stop(self, name) end
  self.player:close(keep_sound)
  self.mouth:close(keep_sound)
  if self.session then self.session:close() end
  self:notice("unheard", { again_ms = self.handed_ms })
  if self.listener then self.listener:close() end
end

--- Is anything of ours or the model's being heard, or about to be?
function Live:is_sounding() return floor.is_sounding(self) or self.exchanges:is_open() end

--- No realtime model is left: others go on. What the caller has said and nobody has answered they hear again; where an answer was broken off he
--- is asked to say it again.
function Live:hand_over()
  if self.is_over then return end
  local going = self.caller:unanswered(self.world.now())
  local current = self.exchanges.current
  going.again = current ~= nil and not current.over or not going.sound and self.exchanges:owes()
  if going.again then going.sound = nil elseif going.sound then self.exchanges:again() end  -- others write down what they hear
  self.handed_ms = going.sound and self.caller:kept_ms(self.world.now())
  self:close()
  local said = self.chronicle.history
  going.kept, going.rule = keeping.kept_of(self, { turns = said.turns, left_out = said.left_out, earlier = said.earlier }), self.rule
  self.world.over{ lost = self.lost, going = going, turns = self.chronicle.count, lead = self.lead }
end

-- -- from outside -----------------------------------------------------------------------------------------------------------------------

--- What the leg says.
function Live:on_media(kind, id, position)
  if kind == "speech" then return self:safely(floor.voice, position or 0) end
  if kind == "quiet" then return self:safely(floor.quiet, position or 0) end
  if kind ~= "begun" and kind ~= "played" and kind ~= "stopped" then return end
  self:safely(function()
    self.mouth:on_media(kind, id, position or 0)
    self.player:on_media(kind, id, position or 0)
  end)
end

function Live:on_digit(digit) self:safely(keys.pressed, digit) end

local function mark(self, number, name, ms)
  if not self.exchanges:is_past(number) then return self.exchanges:of(number).line:mark(name, ms) end
  if name == "silent" then self.chronicle:silent(number, ms) end
end

local function put_together(self)
  local world = self.world
  local function leg() return self.call.leg end
  local function next_id()
    self.call.next_play = self.call.next_play + 1
    return self.call.next_play
  end
  self.player = player.new{
    leg = leg, next_id = next_id, now = world.now,
    mark = function(number, name, ms) mark(self, number, name, ms) end,
    settled = function(number)
      self.exchanges:settled(number)
      if not self.is_over then keeping.flush(self) end
    end,
    full = function(number, ms) self.session:cancel(math.floor(ms), number) end,
  }
  self.mouth = mouth.new{
    leg = leg, say = world.say, now = world.now, next_id = next_id, mark = function() end,
    tell = function() self:safely(function() end) end,
    done = function(reply) self:safely(own_words.heard, reply.id, mouth.heard(reply)) end,
    failed = function(reply, err) self:safely(own_words.failed, reply.id, err) end,
  }
  self.exchanges = exchanges.new{ line = function() return timeline.new() end, over = function(exchange) keeping.exchange(self, exchange) end }
end

--- Begins: greets, or goes on after a predecessor's last finished turn. True, or nil, err.
--- @param pressed table  keys, already
function Live:begin(pressed)
  local args = self.args
  local listener, err = self.call.leg:listen{ rate = caller.RATE, batch_ms = caller.BATCH_MS, keep_ms = caller.KEEP_MS, on_audio = function(pcm)
    if self.is_over then return end
    self.caller:hears(pcm)
    if self.session then self.session:audio(pcm) end
  end }
  if not listener then return nil, err end
  self.listener = listener
  local left_ms = math.max(0, args.limit.seconds * 1000 - self.chronicle.spent_ms)
  clocks.after(self, "limit", left_ms, function()
    self.limit_passed = true
    self:leave("limit")
  end)
  clocks.after(self, "past_limit", left_ms + PAST_LIMIT_MS, function() self:finish{ wants_human = false, why = "limit" } end)
  local is_filled = self.resumed and self.slots and slots.are_over(self.slots, self.desk.slots)
  local saying = self.is_ruled and self.says.human or is_filled and self.says.filled or self.resumed and self.says.again or args.greeting or self.says.greeting
  if self.slots and not self.resumed then saying = saying .. " " .. self.slots[1].prompt end
  local before = briefing.messages(self, saying)
  self:say(saying, not self.resumed and self.call.direction == "outbound" and "speech" or nil)
  self.session = self.world.lead{ instructions = briefing.instructions(self), tools = self.tools, history = before, answer_ms = ANSWER_MS,
    on_event = function(event) self:safely(told.event, event) end }
  self.muted = self.is_ruled or nil
  if self.is_ruled then self:leave("human:rule") elseif is_filled then self:leave("filled") end
  self:keep()  -- whoever takes it up greets nobody again, and knows what was taken up
  for _, digit in ipairs(pressed) do self:on_digit(digit) end
  return true
end

-- The script's rule says so: what is written down on the way there is kept with that.
local function put_through(self)
  self.ruling = true
  floor.interrupt(self)
  leaving.to_human(self, "rule", self.says.human)
  self.ruling = nil
end

local live = {}

--- See above.
function live.new(given)
  local kept, args, world = given.kept or {}, given.args, given.world
  local self = setmetatable({
    call = given.call, args = args, key = given.key, world = world, clocks = {}, own = {}, aside = {}, asides = {}, running = {}, last_calls = {}, heard_turn = 0, left_at = 0, said = 0,
    keys = {}, pressed = 0, words_told = {}, silences = 0, misses = kept.misses or 0,
    desk = kept.desk or {}, lead = kept.lead, resumed = kept.greeted, caller = caller.new(), chronicle = chronicle.new(world, kept),
    says = sentences.of(args.language, args.sentences), asks = world.asks, mood = kept.mood, temper = kept.temper or 0, ruled = asks.newest_turn(kept, world.asks),
  }, Live)
  own_tools.take_up(self.chronicle.history, kept, given.told)
  if args.escalate and world.asks then
    self.rule = rule.new(world.asks, world.after):of(function()
      if not self.muted and not leaving.human_of(self) then self:safely(put_through) end
    end)
    self.is_ruled = self.rule:take_up(self.chronicle.history, kept, given.told)
  end
  self.slots = args.slots and args.slots[1] and args.slots or nil
  if self.slots then self.desk.slots = self.desk.slots or slots.new() end
  self.tools = tools.of(args.tools, given.call.permissions, self.slots)
  put_together(self)
  return self
end

return live