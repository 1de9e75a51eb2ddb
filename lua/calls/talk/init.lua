-- SPDX-License-Identifier: Apache-2.0
--- A conversation: what happens to it is told to the machine of turns (voice.turns), and what that says is done here, by its ears, its mouth
--- and its mind. Clock and I/O are the world's; nothing here waits, but for has_model.
---
---   leg ── VAD, sound ──> ears ──┐                         ┌──> mouth ── plays ──> leg
---   keys ────────────────────────┼──> machine ── actions ──┼──> mind (a model, or without_model)
---   leg ── played ──> mouth ─────┘    of turns             └──> the end: over(result)
---
--- Its parts each take the conversation: what we say ourselves (saying), how a turn is answered (answering), what is done when the caller speaks over us (talked_over),
--- and what of all that is written down (written).
---
--- talk.new{ call, args, key, kept, going, world }
---   call   { id, tenant, row_id, hash, from, trace, permissions, verbs, leg, next_play }
---   args   of the verb: agent, prompt, greeting, tools, slots, escalate = true: the script has a rule, anger, expect, limit, language, sentences
---   kept   what keep() was given last: a predecessor's
---   told   what the script gave to a predecessor's question (calls.talk.asks), or nil
---   going  of a realtime model that has led it until now, in this call and worker (calls.talk.live): { sound = of the caller that nobody has answered, voice_ms,
---          quiet_ms, again = an answer was broken off, rule = of calls.talk.rule | nil }; nil where there was none
---   world  { now, after, say = function(text, kept) -> stream, open_ears = function(options) -> session, is_live = function(session) -> boolean, chat = of ai.chat,
---            has_model = function() -> boolean (may wait), answer = function(text) -> text | nil of the knowledge base, headings = list,
---            keep = function(kept, keys_used), transcript = function(line), over = function(result), asks = of calls.talk.asks, or nil,
---            noticed = function(kind, fields) | nil: what is told of the caller's voice and its text, before anything is done about it (calls.cards),
---            telling = function(text, reply) | nil: the last words so far of a reply whose sound comes with them, and its number,
---            is_card = function() -> boolean | nil: are the keys that are being pressed known to be of a card's number, or told with it?,
---            asks_keys = function(are_asked) | nil: may the caller be pressing a number that he is asked for?,
---            timed = function(report) | nil: what was measured of a turn (voice.timeline), once }
---   result { wants_human, why, reason, turns, lead, slots = name -> value | nil, sentiment, summary, ask_summary = function() -> answer of a model; may wait | nil } | { failed = text }
local answering = require "calls.talk.answering"
local asks = require "calls.talk.asks"
local ears = require "calls.talk.ears"
local history = require "calls.talk.history"
local log = require "core.log"
local marks = require "calls.talk.marks"
local mind = require "calls.talk.mind"
local mouth = require "calls.talk.mouth"
local over = require "calls.talk.over"
local own_tools = require "calls.talk.own_tools"
local rule = require "calls.talk.rule"
local saying = require "calls.talk.saying"
local sentences = require "calls.talk.sentences"
local sentiment = require "calls.talk.sentiment"
local slots = require "calls.talk.slots"
local summary = require "calls.talk.summary"
local talked_over = require "calls.talk.talked_over"
local tools = require "calls.talk.tools"
local topics = require "calls.talk.topics"
local turns = require "voice.turns"
local words = require "calls.talk.words"
local written = require "calls.talk.written"

local Talk = {}
Talk.__index = Talk
Talk.close, Talk.finish = over.close, over.finish
Talk.keep, Talk.leave, Talk.mark, Talk.said, Talk.say, Talk.write = written.keep, saying.leave, written.mark, written.said, saying.say, written.write

local TEXT_LATE_MS = 3000     -- a recogniser that is given an utterance whole takes its time
local LEAVE_MOST_MS = 40000   -- the longest sentence before a transfer
local PAST_LIMIT_MS = 60000   -- the last sentence, and not more

local YES_NO, OPEN = { kind = "yes_no" }, { kind = "open" }

-- -- telling the machine ------------------------------------------------------------------------------------------------------

local act = {}
for _, part in ipairs{ saying, answering, talked_over } do
  for name, run in pairs(part.acts) do act[name] = run end
end

local function drain(self)
  while self.events[1] and not self.is_over do
    local event = table.remove(self.events, 1)
    for _, action in ipairs(self.machine:take(event, self.world.now())) do
      if self.is_over then return end
      local run = act[action.act]
      if run then run(self, action) end
    end
  end
end

local function arm(self)
  if self.clock then self.clock:cancel() end
  self.clock = nil
  local due = not self.is_over and self.machine:due()
  if not due then return end
  self.clock = self.world.after(math.max(0, math.ceil(due - self.world.now())), function()
    self.clock = nil
    self:tell("tick")
  end)
end

--- Tells the machine what has happened, and does what it says. From within an action it comes behind that.
function Talk:tell(kind, fields)
  if self.is_over then return end
  local event = { kind = kind }
  for name, value in pairs(fields or {}) do event[name] = value end
  self.events[#self.events + 1] = event
  if self.telling then return end
  self.telling = true
  local ok, err = pcall(drain, self)
  self.telling = false
  if not ok then
    log.error("converse.broke", { call = self.call.id, text = tostring(err) })
    return self:finish{ failed = "something went wrong on our side" }
  end
  arm(self)
end

-- -- the parts ----------------------------------------------------------------------------------------------------------------

local function put_together(self)
  local world = self.world
  local function tell(kind, fields) self:tell(kind, fields) end
  local function notice(kind, fields)
    if world.noticed then world.noticed(kind, fields) end
    self:tell(kind, fields)
  end
  self.mouth = mouth.new{
    leg = function() return self.call.leg end, say = world.say, tell = tell, now = world.now,
    next_id = function()
      self.call.next_play = self.call.next_play + 1
      return self.call.next_play
    end,
    mark = function(reply, name, ms) self:mark(reply.id, name, ms) end,
    done = function(reply) self:said(reply.id, mouth.heard(reply)) end,
    failed = function(_, err) self:speechless(err) end,
  }
  self.ears = ears.new{
    leg = self.call.leg, open = world.open_ears, is_live = world.is_live, tell = notice, now = world.now, language = self.args.language,
    failed = function(err) log.warn("converse.not_heard", { call = self.call.id, class = err.class, text = err.text }) end,
    deaf = function(err) log.warn("converse.deaf", { call = self.call.id, class = err.class, text = err.text }) end,
    text_came = function() self.final_text_at = world.now() end,
    noticed = function(kind, fields)
      if world.noticed then world.noticed(kind, fields) end
    end,
  }
end

-- No synthesiser speaks: nobody is kept on a silent line.
function Talk:speechless(err)
  log.warn("converse.not_spoken", { call = self.call.id, class = err.class, text = err.text })
  self:finish{ failed = "no synthesiser could speak" }
end

-- -- ends ---------------------------------------------------------------------------------------------------------------------

-- Whoever takes the call up is to know it: that he was to be put through stands where the conversation is kept.
function act.stay(self)
  self.leaving = nil
  self:keep()
end

function act.go(self, a)
  local human = a.how:match("^human:(.*)$") or a.how == "transfer" and "transfer"
  self:finish{ wants_human = human and true or false, why = human or a.how }
end

function act.give_up(self, a)
  local human = a.why == "unclear" and "not_understood" or a.why == "no_reply" and "no_answer"
  self:finish{ wants_human = human and true or false, why = human or a.why }
end

--- See calls.talk.summary.
function Talk:sum_up(why) return summary.about(self, self.history:kept(), self.count, why) end

--- Writes what was being said when it ended, by us and by him.
function Talk:write_open()
  local open = {}
  for reply in pairs(self.lines) do open[#open + 1] = reply end
  table.sort(open)
  for _, reply in ipairs(open) do talked_over.cut_off(self, reply) end
  local u = self.machine.utterance
  if u and u:has_words() then self:write{ party = "caller", text = u:text(), began_ms = u.began, ended_ms = u.quiet_since or self.world.now(),
    sentiment = (sentiment.of(u:text(), self.args.language)) } end
end

--- Lets go of recogniser, synthesiser, models, plays and clocks.
function Talk:let_go(keep_sound)
  if self.clock then self.clock:cancel() end
  for _, limit in ipairs(self.limits) do limit:cancel() end
  answering.cancel_eager(self)
  for _, turn in pairs(self.turns) do answering.end_thought(turn) end
  self.mouth:close(keep_sound)
  self.ears:close()
  self.turns, self.events = {}, {}
end

-- -- from outside -------------------------------------------------------------------------------------------------------------

--- Is anything of ours being heard, or about to be?
function Talk:is_sounding() return next(self.mouth.replies) ~= nil end

--- What the leg says.
function Talk:on_media(kind, id, position)
  if self.is_over then return end
  if kind == "speech" or kind == "quiet" then return self.ears:on_media(kind, position or 0) end
  if kind == "begun" or kind == "played" or kind == "stopped" then self.mouth:on_media(kind, id, position or 0) end
end

function Talk:on_digit(digit)
  self.pressed = self.pressed + 1
  self:tell("key", { digit = digit })
end

-- He has been greeted, and what he said just now is heard once more.
local function go_on(self, going)
  if going.again then self:say(self.says.again) end
  if not going.sound then return end
  self.ears:missed(going.sound)
  self:on_media("speech", nil, going.voice_ms)
  if going.quiet_ms then self:on_media("quiet", nil, going.quiet_ms) end
end

--- Begins: greets, or goes on after a predecessor's last finished turn. True, or nil, err.
--- @param keys table  that were pressed already
function Talk:begin(keys)
  local args = self.args
  answering.await(self, self.expected)
  local ok, err = self.ears:open()
  if not ok then return nil, err end
  local left_ms = math.max(0, args.limit.seconds * 1000 - self.spent_ms)
  self.limits[1] = self.world.after(left_ms, function()
    self.limit_passed = true
    self:leave("limit")
  end)
  self.limits[2] = self.world.after(left_ms + PAST_LIMIT_MS, function() self:finish{ wants_human = false, why = "limit" } end)
  if self.is_ruled then
    self:say(self.says.human)
    saying.to_human(self, "rule")
  elseif self.resumed and self.slots and slots.are_over(self.slots, self.desk.slots) then
    self:say(self.says.filled)
    self:leave("filled")
  elseif self.going then
    go_on(self, self.going)
  elseif self.resumed then
    self:say(self.says.again)
  else
    local greeting = args.greeting or self.says.greeting
    if self.slots then greeting = greeting .. " " .. self.slots[1].prompt end
    self:say(greeting, self.call.direction == "outbound" and "speech" or nil)
  end
  self:keep()  -- whoever takes it up greets nobody again, and knows what was taken up
  for _, digit in ipairs(keys) do self:on_digit(digit) end
  return true
end

local talk = {}

local EXPECTED = { open = OPEN, yes_no = YES_NO, digits = { kind = "digits", finish = "#" }, spelling = { kind = "spelling" } }

--- See above.
function talk.new(given)
  local kept, args, world = given.kept or {}, given.args, given.world
  local self = setmetatable({
    call = given.call, args = args, key = given.key, world = world, began = world.now(), events = {}, lines = {}, turns = {}, taken_back = {}, stopping = {}, sayings = {}, limits = {},
    awaited = {}, none = {}, count = kept.turns or 0, line = math.max(kept.line or 0, world.first_line or 0), desk = kept.desk or {}, lead = kept.lead, pressed = 0, spent_ms = kept.spent_ms or 0,
    resumed = kept.greeted, going = given.going, history = history.new(kept.history), expected = kept.expect or EXPECTED[args.expect],
    says = sentences.of(args.language, args.sentences), asks = world.asks, mood = kept.mood, temper = kept.temper or 0, misses = kept.misses or 0,
    numbered = asks.newest_turn(kept, world.asks),
  }, Talk)
  own_tools.take_up(self.history, kept, given.told)
  if args.escalate and world.asks then
    self.rule = (given.going and given.going.rule or rule.new(world.asks, world.after)):of(function()
      -- Who is being put through has been told.
      if self.is_over or self.leaving and (self.leaving == "transfer" or self.leaving:find("^human:")) then return end
      self:say(self.says.human)
      saying.to_human(self, "rule")
    end)
    self.is_ruled = self.rule:take_up(self.history, kept, given.told)
  end
  self.machine = turns.new({ language = args.language, text_ms = TEXT_LATE_MS, leave_most_ms = LEAVE_MOST_MS }, self.began)
  self.titles = words.titles(world.headings)
  self.phrases, self.besides = words.phrases(self.titles, args.language), words.phrases(self.titles, args.language, true)
  self.topics = topics.new(world.headings, args.language)
  local questions = self.topics:asks()
  self.sentences, self.sentences_besides = words.sentences(self.titles, questions, args.language), words.sentences(self.titles, questions, args.language, true)
  self.slots = args.slots and args.slots[1] and args.slots or nil
  if self.slots then
    self.desk.slots = self.desk.slots or slots.new()
    if not kept.expect then self.expected = slots.expect(self.slots[self.desk.slots.at] or self.slots[1]) end
  end
  self.tools = tools.of(args.tools, given.call.permissions, self.slots)
  for _, tool in ipairs(self.tools) do
    if tool.name == "book_callback" or tool.name == "create_lead" then self.note_tool = self.note_tool ~= "book_callback" and tool.name or self.note_tool end
  end
  self.can_note = self.note_tool ~= nil
  self.system = mind.system(given.call, args) .. "\n\n" .. marks.RULE .. (self.slots and "\n\n" .. slots.rule(self.slots) or "")
  put_together(self)
  return self
end

return talk
