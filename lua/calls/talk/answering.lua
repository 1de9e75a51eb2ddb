-- SPDX-License-Identifier: Apache-2.0
--- A turn of the caller has ended, and is answered: he is put through, or a model answers (model_answer), or nobody but the knowledge base (without_model).
--- It may be taken back as long as nothing that cannot be undone was done.
--- A part of calls.talk: each function takes its conversation; acts are what the machine of turns says.
local bounded = require "calls.talk.bounded"
local escalation = require "calls.talk.escalation"
local log = require "core.log"
local mind = require "calls.talk.mind"
local model_answer = require "calls.talk.model_answer"
local saying = require "calls.talk.saying"
local sentiment = require "calls.talk.sentiment"
local slots = require "calls.talk.slots"
local task = require "core.task"
local timeline = require "voice.timeline"
local tools = require "calls.talk.tools"
local without_model = require "calls.talk.without_model"
local written = require "calls.talk.written"

local answering = { acts = {} }

local ANSWER_MS = 10000  -- from the knowledge base and for a lead

local OPEN = { kind = "open" }

--- What the caller is expected to say next (voice.turns), for the recogniser and for the end of his turn.
function answering.await(self, expect)
  local kind, likely = expect.kind, self.phrases
  local heard_as = { yes_no = "yesno", digits = "digits", open = "phrases", spelling = "open" }
  local key = kind .. (expect.count or "")
  self.awaited[key] = self.awaited[key] or { kind = heard_as[kind], most = expect.count, phrases = kind == "open" and likely or nil,
    sentences = kind == "open" and self.sentences or kind == "yes_no" and self.sentences_besides or nil }
  self.ears:await(self.awaited[key], kind == "yes_no" and self.besides or self.none)
  -- A model asks for the slots in an order of its own.
  if self.world.asks_keys then self.world.asks_keys(kind == "digits" or self.slots ~= nil and slots.want_number(self.slots, self.desk.slots)) end
  self:tell("expect", { expect = expect })
end

local function copy(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

-- What without_model asks of the world; what it does to leads is bound to the turn that asked for it.
local function papers(self, turn)
  return {
    slots = self.slots, says = self.says, titles = self.titles, language = self.args.language, caller_number = self.call.from, can_note = self.can_note,
    ask = function(text) return self.topics:find(text, self.world.answer) end,
    note_down = function(given)
      self:tell("bound", { reply = turn.reply })
      local lead = tools.run(self, self.tools, self.note_tool, { interest = given.interest, phone = given.phone, at = "as soon as possible" })
      return lead ~= nil
    end,
  }
end

local function answer_without_model(self, turn)
  turn.before = copy(self.desk)
  local desk = self.desk
  task.spawn(function()
    local result, err = bounded(self.world.after, ANSWER_MS, without_model.answer, desk, papers(self, turn), { text = turn.text, keys = turn.keys })
    if turn.gone or self.is_over then return end
    if not result then
      log.error("converse.answer_broke", { call = self.call.id, text = err.text })
      result = { say = self.says.broken, human = "tool_failed" }
    end
    saying.line(self, turn.reply):mark("first_token", self.world.now())
    saying.speak(self, turn.reply, result.say)
    self.mouth:finish(turn.reply)
    if result.expect then answering.await(self, result.expect) end
    if result.human then saying.to_human(self, result.human) elseif result.leave then self:leave(result.leave) end
  end)
end

-- A turn as the script's rule is told of it.
local function for_rule(self, turn)
  return { n = self.numbered + 1, text = turn.text or "", keys = turn.keys, sentiment = turn.sentiment, angry = turn.anger >= sentiment.ANGRY,
    misunderstood = self.misses + (self.desk.misses or 0), seconds = math.floor((self.spent_ms + self.world.now() - self.began) / 1000) }
end

-- Is it, by now, one that nobody waits for?
local function unwanted(self, turn, eager)
  if not turn.gone and not self.is_over then return false end
  if eager then eager:stop() end
  return true
end

local function respond(self, turn, eager)
  if not self.knows_model then return answer_without_model(self, turn) end
  answering.await(self, OPEN)
  model_answer.begin(self, turn, eager)
end

local function answer(self, turn, eager)
  self.knows_model = self.world.has_model()
  if unwanted(self, turn, eager) then return end
  local why = not turn.keys and escalation.asks_for_human(turn.text, self.args.language) and "asked_for"
    or self.args.anger ~= false and sentiment.temper(self.temper, turn.anger) >= sentiment.ANGRY and "anger"
  if why then
    if eager then eager:stop() end
    return saying.give_up(self, turn, why, why == "anger" and self.says.upset or nil)
  end
  if not self.rule then return respond(self, turn, eager) end
  task.spawn(function()
    local is_ruled = self.rule:wait(for_rule(self, turn), written.spoken(turn))
    if unwanted(self, turn, eager) then return end
    if not is_ruled then return respond(self, turn, eager) end
    if eager then eager:stop() end
    saying.give_up(self, turn, "rule")
  end)
end

function answering.acts.begin_model(self, a)
  if not self.world.has_model() or self.is_over then return end
  self.eager = { turn = a.turn, try = a.try, thought = mind.begin(self, a.text) }
end

--- What was begun eagerly is of no use.
function answering.cancel_eager(self)
  if self.eager then self.eager.thought:stop() end
  self.eager = nil
end

function answering.acts.cancel_model(self) answering.cancel_eager(self) end

function answering.acts.commit(self, a)
  local line = self.taken_back[a.turn] or timeline.new()
  self.lines[a.reply], self.taken_back[a.turn] = line, nil
  local now = self.world.now()
  line:mark("ended", a.ended)
  line:mark("committed", now)
  line:chose(a.waited)
  if self.final_text_at and self.final_text_at >= a.ended then line:mark("final_text", self.final_text_at) end
  local eager
  if self.eager and a.eager == self.eager.try and self.eager.turn == a.turn then
    eager, self.eager = self.eager.thought, nil
    line:count("eager_used")
  else
    answering.cancel_eager(self)
    line:mark("model_asked", now)
  end
  local turn = { id = a.turn, reply = a.reply, text = a.text, keys = a.keys, began = a.began, ended = a.ended }
  turn.sentiment, turn.anger = "neutral", 0
  if not turn.keys then turn.sentiment, turn.anger = sentiment.of(turn.text, self.args.language) end
  self.turns[a.reply] = turn
  self.mouth:open(a.reply)
  answer(self, turn, eager)
end

function answering.acts.amend(self, a)
  for _, turn in pairs(self.turns) do
    if turn.id == a.turn then
      turn.text = a.text
      if not turn.mark then turn.sentiment, turn.anger = sentiment.of(turn.text, self.args.language) end
      return
    end
  end
  self.history:amend(a.text)
end

--- Nobody waits any more for what is answered to a turn.
function answering.end_thought(turn)
  turn.gone = true
  if turn.quiet then turn.quiet() end
  if turn.thought then turn.thought:stop() end
end

function answering.acts.take_back(self, a)
  local turn = self.turns[a.reply]
  self.turns[a.reply] = nil
  self.mouth:drop(a.reply)
  if not turn then return end
  answering.end_thought(turn)
  if turn.before then self.desk = turn.before end
  local line = self.lines[a.reply]
  self.lines[a.reply] = nil
  line:again()
  self.taken_back[a.turn] = line
end

return answering
