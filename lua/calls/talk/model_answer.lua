-- SPDX-License-Identifier: Apache-2.0
--- The answer of a model to a turn: spoken as it comes, and what it said of the caller noted.
--- A part of calls.talk: each function takes its conversation.
local chunks = require "voice.chunks"
local escalation = require "calls.talk.escalation"
local marks = require "calls.talk.marks"
local mind = require "calls.talk.mind"
local saying = require "calls.talk.saying"
local sentiment = require "calls.talk.sentiment"
local slots = require "calls.talk.slots"
local written = require "calls.talk.written"

local model_answer = {}

local IDLE_MS = 400  -- without a word of the model: what can be spoken is

-- What the model says of the caller: it knows better than the words alone.
local function note_mark(self, turn, word)
  if word == "unclear" then
    turn.unclear = true
  elseif word == "angry" then
    turn.sentiment, turn.anger = "negative", math.max(turn.anger or 0, sentiment.ANGRY)
  else
    turn.sentiment = word
    if word == "positive" then turn.anger = 0 end
  end
  turn.mark = word
end

-- Why the caller is put through behind the model's answer, by what it said of him; nil: he is not.
local function model_wants_human(self, turn)
  if self.args.anger ~= false and sentiment.temper(self.temper, turn.anger or 0) >= sentiment.ANGRY then return "anger" end
  local _, enough = escalation.missed(self.misses, not turn.unclear)
  return enough and "not_understood" or nil
end

-- The text of a model as it comes, cut into pieces; where nothing comes for a while what is there is spoken.
local function sink_of(self, turn)
  local cut, idle = chunks.new(), nil
  local function pieces(list)
    if #list > 0 then self.mouth:speak(turn.reply, list) end
  end
  local function stop_idle()
    if idle then idle:cancel() end
    idle = nil
  end
  turn.quiet = stop_idle
  local spoke = false
  local reader = marks.reader(function(word) note_mark(self, turn, word) end)
  return {
    text = function(text)
      text = reader:feed(text)
      if text == "" then return end
      spoke = spoke or text:find("%S") ~= nil
      saying.line(self, turn.reply):mark("first_token", self.world.now())
      pieces(cut:feed(text))
      stop_idle()
      idle = self.world.after(IDLE_MS, function()
        idle = nil
        if not turn.gone then pieces(cut:idle()) end
      end)
    end,
    bound = function() self:tell("bound", { reply = turn.reply }) end,
    over = function(outcome)
      stop_idle()
      turn.steps = outcome.steps
      local rest = reader:finish()
      spoke = spoke or rest:find("%S") ~= nil
      pieces(cut:feed(rest))
      pieces(cut:finish())
      if not outcome.human and not outcome.leave then outcome.human = model_wants_human(self, turn) end
      if self.slots then
        local is_over
        self.desk.slots, is_over = slots.turned(self.slots, self.desk.slots)
        if is_over and not outcome.human and not outcome.leave then outcome.leave = "filled" end
      end
      if outcome.human then
        saying.speak(self, turn.reply, outcome.human == "tool_failed" and self.says.broken or self.says.human)
      elseif not spoke and not outcome.leave then
        saying.speak(self, turn.reply, self.says.unclear)
      end
      self.mouth:finish(turn.reply)
      if outcome.human then saying.to_human(self, outcome.human) elseif outcome.leave then self:leave(outcome.leave) end
    end,
  }
end

--- Begins, or goes on with what was begun eagerly.
--- @param eager table|nil  of calls.talk.mind
function model_answer.begin(self, turn, eager)
  self.said_now = written.spoken(turn)
  turn.thought = eager or mind.begin(self, self.said_now)
  turn.thought:attach(sink_of(self, turn))
end

return model_answer
