-- SPDX-License-Identifier: Apache-2.0
--- A conversation: what happens to it is told to the machine of turns (voice.turns), and what that says is done here, by its ears, its mouth
--- and its mind. Clock and I/O are the world's; nothing here waits, but for has_model.
---
---   leg ── VAD, sound ──> ears ──┐                         ┌──> mouth ── plays ──> leg
---   keys ────────────────────────┼──> machine ── actions ──┼──> mind (a model, or without_model)
---   leg ── played ──> mouth ─────┘    of turns             └──> the end: over(result)
---
--- talk.new{ call, args, key, kept, going, world }
---   call   { id, tenant, row_id, hash, from, trace, permissions, verbs, leg, next_play }
---   args   of the verb: agent, prompt, greeting, tools, slots, escalate = true: the script has a rule, anger, expect, limit, language
---   kept   what keep() was given last: a predecessor's
---   told   what the script gave to a predecessor's question (calls.talk.asks), or nil
---   going  of a realtime model that has led it until now, in this call and worker (calls.talk.live): { sound = of the caller that nobody has answered, voice_ms,
---          quiet_ms, again = an answer was broken off, rule = of calls.talk.rule | nil }; nil where there was none
---   world  { now, after, say = function(text, kept) -> stream, open_ears = function(options) -> session, is_live = function(session) -> boolean, chat = of ai.chat,
---            has_model = function() -> boolean (may wait), answer = function(text) -> text | nil of the knowledge base, headings = list,
---            keep = function(kept, keys_used), transcript = function(line), over = function(result), asks = of calls.talk.asks, or nil,
---            noticed = function(kind, fields) | nil: what is told of the caller's voice, before anything is done about it,
---            telling = function(text) | nil: the last words so far of a reply whose sound comes with them,
---            timed = function(report) | nil: what was measured of a turn (voice.timeline), once }
---   result { wants_human, why, reason, turns, lead, slots = name -> value | nil, sentiment, summary, ask_summary = function() -> answer of a model; may wait | nil } | { failed = text }
local chunks = require "voice.chunks"
local bounded = require "calls.talk.bounded"
local ears = require "calls.talk.ears"
local escalation = require "calls.talk.escalation"
local history = require "calls.talk.history"
local log = require "core.log"
local marks = require "calls.talk.marks"
local metrics = require "core.metrics"
local mind = require "calls.talk.mind"
local mouth = require "calls.talk.mouth"
local own_tools = require "calls.talk.own_tools"
local rule = require "calls.talk.rule"
local sentiment = require "calls.talk.sentiment"
local slots = require "calls.talk.slots"
local summary = require "calls.talk.summary"
local task = require "core.task"
local timeline = require "voice.timeline"
local tools = require "calls.talk.tools"
local turns = require "voice.turns"
local without_model = require "calls.talk.without_model"
local words = require "calls.talk.words"

local Talk = {}
Talk.__index = Talk

local IDLE_MS = 400           -- without a word of the model: what can be spoken is
local TEXT_LATE_MS = 3000     -- a recogniser that is given an utterance whole takes its time
local LEAVE_MOST_MS = 40000   -- the longest sentence before a transfer
local ANSWER_MS = 10000       -- from the knowledge base and for a lead
local PAST_LIMIT_MS = 60000   -- the last sentence, and not more

local YES_NO, OPEN = { kind = "yes_no" }, { kind = "open" }

-- -- telling the machine ------------------------------------------------------------------------------------------------------

local act = {}

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

local function line_of(self, reply, turn)
  local line = self.lines[reply]
  if not line then
    line = timeline.new(turn or 0)
    self.lines[reply] = line
  end
  return line
end

local function await_next(self, expect)
  local kind, likely = expect.kind, self.phrases
  local heard_as = { yes_no = "yesno", digits = "digits", open = "phrases", spelling = "open" }
  local key = kind .. (expect.count or "")
  self.awaited[key] = self.awaited[key] or { kind = heard_as[kind], most = expect.count, phrases = kind == "open" and likely or nil }
  self.ears:await(self.awaited[key], kind == "yes_no" and self.besides or self.none)
  self:tell("expect", { expect = expect })
end

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
  }
end

local function observe(self, line)
  local report = line:report()
  timeline.observe(report, function(name, seconds, help) metrics.observe(name, nil, seconds, help) end)
  if self.world.timed then self.world.timed(report) end
end

function Talk:mark(reply, name, ms)
  local line = self.lines[reply]
  if line then return line:mark(name, ms) end
  -- That it was silent is told when the turn is written already.
  line = self.stopping[reply]
  if not line or name ~= "silent" then return end
  self.stopping[reply] = nil
  line:mark(name, ms)
  observe(self, line)
end

-- No synthesiser speaks: nobody is kept on a silent line.
function Talk:speechless(err)
  log.warn("converse.not_spoken", { call = self.call.id, class = err.class, text = err.text })
  self:finish{ failed = "no synthesiser could speak" }
end

-- -- saying -------------------------------------------------------------------------------------------------------------------

local function speak(self, reply, text)
  local cut = chunks.new()
  local pieces = cut:feed(text)
  for _, piece in ipairs(cut:finish()) do pieces[#pieces + 1] = piece end
  self.mouth:speak(reply, pieces, { kept = true })
end

--- Says something that answers nobody.
function Talk:say(text, guard)
  self.sayings[#self.sayings + 1] = { text = text, guard = guard }
  self:tell("say")
end

--- Ends the conversation when the caller has heard what is being said.
function Talk:leave(how)
  if self.is_over then return end
  self.leaving = how
  self:tell("leave", { how = how })
end

--- To a human, when he has heard that.
local function to_human(self, why) self:leave("human:" .. why) end

-- The same, said in the answer to a turn.
local function give_up(self, turn, why, text)
  speak(self, turn.reply, text or words.en.human)
  self.mouth:finish(turn.reply)
  to_human(self, why)
end

function act.speak(self, a)
  local saying = table.remove(self.sayings, 1)
  if not saying then return self:tell("replied", { reply = a.reply }) end
  line_of(self, a.reply)
  self.mouth:open(a.reply, { guard = saying.guard })
  speak(self, a.reply, saying.text)
  self.mouth:finish(a.reply)
end

function act.prompt(self, a)
  line_of(self, a.reply)
  self.mouth:open(a.reply)
  local enough = a.why == "unclear" and a.n >= escalation.MISSES
  speak(self, a.reply, enough and words.en.human or words.en[a.why])
  self.mouth:finish(a.reply)
  if enough then to_human(self, "not_understood") end
end

function act.filler(self, a)
  if self.mouth:busy(a.reply) then return end
  line_of(self, a.reply):count("filler")
  self.mouth:speak(a.reply, { words.en.filler[math.min(a.n, #words.en.filler)] }, { filler = true, kept = true })
end

-- -- answering ----------------------------------------------------------------------------------------------------------------

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
      line_of(self, turn.reply):mark("first_token", self.world.now())
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
        speak(self, turn.reply, outcome.human == "tool_failed" and words.en.broken or words.en.human)
      elseif not spoke and not outcome.leave then
        speak(self, turn.reply, words.en.unclear)
      end
      self.mouth:finish(turn.reply)
      if outcome.human then to_human(self, outcome.human) elseif outcome.leave then self:leave(outcome.leave) end
    end,
  }
end

local function copy(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

-- What without_model asks of the world; what it does to leads is bound to the turn that asked for it.
local function papers(self, turn)
  return {
    slots = self.slots, titles = self.titles, language = self.args.language, caller_number = self.call.from, can_note = self.can_note, ask = self.world.answer,
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
      result = { say = words.en.broken, human = "tool_failed" }
    end
    line_of(self, turn.reply):mark("first_token", self.world.now())
    speak(self, turn.reply, result.say)
    self.mouth:finish(turn.reply)
    if result.expect then await_next(self, result.expect) end
    if result.human then to_human(self, result.human) elseif result.leave then self:leave(result.leave) end
  end)
end

local function spoken(turn) return turn.keys and "(presses " .. turn.keys .. ")" or turn.text end

-- A turn as the script's rule is told of it.
local function for_rule(self, turn)
  return { n = self.count + 1, text = turn.text or "", keys = turn.keys, sentiment = turn.sentiment, angry = turn.anger >= sentiment.ANGRY,
    misunderstood = self.misses + (self.desk.misses or 0), seconds = math.floor((self.spent_ms + self.world.now() - self.began) / 1000) }
end

-- Nobody waits for that answer any more.
local function unwanted(self, turn, eager)
  if not turn.gone and not self.is_over then return false end
  if eager then eager:stop() end
  return true
end

local function respond(self, turn, eager)
  if not self.knows_model then return answer_without_model(self, turn) end
  await_next(self, OPEN)
  self.said_now = spoken(turn)
  turn.thought = eager or mind.begin(self, self.said_now)
  turn.thought:attach(sink_of(self, turn))
end

local function answer(self, turn, eager)
  self.knows_model = self.world.has_model()
  if unwanted(self, turn, eager) then return end
  local why = not turn.keys and escalation.asks_for_human(turn.text, self.args.language) and "asked_for"
    or self.args.anger ~= false and sentiment.temper(self.temper, turn.anger) >= sentiment.ANGRY and "anger"
  if why then
    if eager then eager:stop() end
    return give_up(self, turn, why, why == "anger" and words.en.upset or nil)
  end
  if not self.rule then return respond(self, turn, eager) end
  task.spawn(function()
    local is_ruled = self.rule:wait(for_rule(self, turn), spoken(turn))
    if unwanted(self, turn, eager) then return end
    if not is_ruled then return respond(self, turn, eager) end
    if eager then eager:stop() end
    give_up(self, turn, "rule")
  end)
end

function act.begin_model(self, a)
  if not self.world.has_model() or self.is_over then return end
  self.eager = { turn = a.turn, try = a.try, thought = mind.begin(self, a.text) }
end

local function cancel_eager(self)
  if self.eager then self.eager.thought:stop() end
  self.eager = nil
end

function act.cancel_model(self) cancel_eager(self) end

function act.commit(self, a)
  local line = self.taken_back[a.turn] or timeline.new(a.turn)
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
    cancel_eager(self)
    line:mark("model_asked", now)
  end
  local turn = { id = a.turn, reply = a.reply, text = a.text, keys = a.keys, began = a.began, ended = a.ended }
  turn.sentiment, turn.anger = "neutral", 0
  if not turn.keys then turn.sentiment, turn.anger = sentiment.of(turn.text, self.args.language) end
  self.turns[a.reply] = turn
  self.mouth:open(a.reply)
  answer(self, turn, eager)
end

function act.amend(self, a)
  for _, turn in pairs(self.turns) do
    if turn.id == a.turn then
      turn.text = a.text
      if not turn.mark then turn.sentiment, turn.anger = sentiment.of(turn.text, self.args.language) end
      return
    end
  end
  self.history:amend(a.text)
end

local function end_thought(turn)
  turn.gone = true
  if turn.quiet then turn.quiet() end
  if turn.thought then turn.thought:stop() end
end

function act.take_back(self, a)
  local turn = self.turns[a.reply]
  self.turns[a.reply] = nil
  self.mouth:drop(a.reply)
  if not turn then return end
  end_thought(turn)
  if turn.before then self.desk = turn.before end
  local line = self.lines[a.reply]
  self.lines[a.reply] = nil
  line:again()
  self.taken_back[a.turn] = line
end

-- -- speaking over us ---------------------------------------------------------------------------------------------------------

-- Our silence begins with it, when it is no false alarm.
local function mark_stop(self, a)
  local line = line_of(self, a.reply)
  if a.began then line:mark("voice_began", a.began) end
  line:mark("stopping", self.world.now())
end

function act.hush(self, a)
  mark_stop(self, a)
  self.mouth:stop(a.reply)
end

function act.duck(self, a)
  line_of(self, a.reply):mark("ducked", self.world.now())
  self.mouth:duck(-a.db)
end

function act.unduck(self) self.mouth:duck(0) end

function act.stop(self, a)
  mark_stop(self, a)
  self.mouth:stop(a.reply)
  if a.why == "stale" then self.mouth:drop(a.reply) end
end

-- Nothing more comes of it: what was heard of it stands.
local function cut_off(self, reply)
  local turn = self.turns[reply]
  if turn then
    end_thought(turn)
    turn.steps = turn.steps or turn.thought and turn.thought.steps
  end
  self:said(reply, self.mouth:drop(reply))
end

function act.drop(self, a) cut_off(self, a.reply) end

function act.resume(self, a)
  line_of(self, a.reply):resumed(self.world.now())
  self.mouth:resume(a.reply)
end

function act.aside(self, a)
  local now = self.world.now()
  self:write{ party = "caller", text = a.text, began_ms = now, ended_ms = now, sentiment = (sentiment.of(a.text, self.args.language)) }
end

-- -- ends ---------------------------------------------------------------------------------------------------------------------

function act.stay(self) self.leaving = nil end

function act.go(self, a)
  local human = a.how:match("^human:(.*)$") or a.how == "transfer" and "transfer"
  self:finish{ wants_human = human and true or false, why = human or a.how }
end

function act.give_up(self, a)
  local human = a.why == "unclear" and "not_understood" or a.why == "no_reply" and "no_answer"
  self:finish{ wants_human = human and true or false, why = human or a.why }
end

--- A line of the transcript.
function Talk:write(line)
  self.line = self.line + 1
  line.n = self.line
  line.began_ms, line.ended_ms = math.floor(line.began_ms - self.began), math.floor(line.ended_ms - self.began)
  self.world.transcript(line)
end

function Talk:keep()
  if self.asks then self.asks:settle(history.has, self.leaving) end
  self.world.keep({ history = self.history:kept(), turns = self.count, line = self.line, desk = self.desk, lead = self.lead, greeted = true, expect = self.machine.expect,
    mood = self.mood, temper = self.temper, misses = self.misses, spent_ms = self.spent_ms + self.world.now() - self.began }, self.pressed - #self.machine.keys)
  self.pressed = #self.machine.keys
end

-- One of ours has been said, to its end or not: with it the turn that it answered is finished.
function Talk:said(reply, text, all, whole)
  local turn, line, now = self.turns[reply], self.lines[reply], self.world.now()
  self.turns[reply], self.lines[reply] = nil, nil
  if turn then
    self:write{ party = "caller", text = spoken(turn), began_ms = turn.began, ended_ms = turn.ended, sentiment = turn.sentiment }
    if not turn.keys then self.mood = sentiment.mood(self.mood, turn.sentiment) end
    self.temper = sentiment.temper(self.temper, turn.anger)
    self.misses = escalation.missed(self.misses, not turn.unclear)
  end
  local report = line and line:report()
  if turn or text ~= "" then
    self:write{ party = "agent", text = whole, heard = not all and text or nil, began_ms = line and line.at.first_packet or now, ended_ms = now, timeline = report }
    self.history:add(turn and spoken(turn), turn and turn.steps, text, all, turn and turn.mark)
  end
  if line and line.at.stopping and not line.at.silent then self.stopping[reply] = line elseif line then observe(self, line) end
  if turn then
    self.count = self.count + 1
    metrics.count("converse_turns_total", nil, 1, "turns of conversations with callers")
  end
  self:keep()
  if turn and (self.limit_passed or self.count >= self.args.limit.turns) and not self.leaving then self:leave("limit") end
end

--- See calls.talk.summary.
function Talk:sum_up(why) return summary.about(self, self.history:kept(), self.count, why) end

--- It is over: everything is let go of, and the world is told.
function Talk:finish(result)
  if self.is_over then return end
  self:close()
  for name, value in pairs(self:sum_up(result.why)) do result[name] = value end
  self.world.over(result)
end

-- What was being said when it ended, by us and by him.
local function write_open(self)
  local open = {}
  for reply in pairs(self.lines) do open[#open + 1] = reply end
  table.sort(open)
  for _, reply in ipairs(open) do cut_off(self, reply) end
  local u = self.machine.utterance
  if u and u:has_words() then self:write{ party = "caller", text = u:text(), began_ms = u.began, ended_ms = u.quiet_since or self.world.now(),
    sentiment = (sentiment.of(u:text(), self.args.language)) } end
end

--- Writes what was being said, and lets go of recogniser, synthesiser, models, plays and clocks.
--- @param keep_sound boolean|nil  the call is another worker's now, who goes on after the last finished turn
function Talk:close(keep_sound)
  if self.is_over then return end
  self.is_over = true
  if not keep_sound then
    local ok, err = pcall(write_open, self)
    if not ok then log.error("converse.not_written", { call = self.call.id, text = tostring(err) }) end
  end
  if self.clock then self.clock:cancel() end
  for _, limit in ipairs(self.limits) do limit:cancel() end
  cancel_eager(self)
  for _, turn in pairs(self.turns) do end_thought(turn) end
  self.mouth:close(keep_sound)
  self.ears:close()
  self.turns, self.events = {}, {}
end

-- -- from outside -------------------------------------------------------------------------------------------------------------

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
  if going.again then self:say(words.en.again) end
  if not going.sound then return end
  self.ears:missed(going.sound)
  self:on_media("speech", nil, going.voice_ms)
  if going.quiet_ms then self:on_media("quiet", nil, going.quiet_ms) end
end

--- Begins: greets, or goes on after a predecessor's last finished turn. True, or nil, err.
--- @param keys table  that were pressed already
function Talk:begin(keys)
  local args = self.args
  await_next(self, self.expected)
  local ok, err = self.ears:open()
  if not ok then return nil, err end
  local left_ms = math.max(0, args.limit.seconds * 1000 - self.spent_ms)
  self.limits[1] = self.world.after(left_ms, function()
    self.limit_passed = true
    self:leave("limit")
  end)
  self.limits[2] = self.world.after(left_ms + PAST_LIMIT_MS, function() self:finish{ wants_human = false, why = "limit" } end)
  if self.is_ruled then
    self:say(words.en.human)
    to_human(self, "rule")
  elseif self.resumed and self.slots and slots.are_over(self.slots, self.desk.slots) then
    self:say(words.en.filled)
    self:leave("filled")
  elseif self.going then
    go_on(self, self.going)
  elseif self.resumed then
    self:say(words.en.again)
  else
    local greeting = args.greeting or words.en.greeting
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
    asks = world.asks, mood = kept.mood, temper = kept.temper or 0, misses = kept.misses or 0,
  }, Talk)
  own_tools.take_up(self.history, kept, given.told)
  if args.escalate and world.asks then
    self.rule = (given.going and given.going.rule or rule.new(world.asks, world.after)):of(function()
      if self.is_over then return end
      self:say(words.en.human)
      to_human(self, "rule")
    end)
    self.is_ruled = self.rule:take_up(self.history, kept, given.told)
  end
  self.machine = turns.new({ language = args.language, text_ms = TEXT_LATE_MS, leave_most_ms = LEAVE_MOST_MS }, self.began)
  self.titles = words.titles(world.headings)
  self.phrases, self.besides = words.phrases(self.titles), words.phrases(self.titles, true)
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
