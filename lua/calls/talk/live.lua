-- SPDX-License-Identifier: Apache-2.0
--- A conversation that a realtime model leads (speech.realtime): it hears the caller and speaks to him by itself. What stays ours are the greeting and what
--- else we say in our own words, the tools, the limits, whether he is still there, when a human takes over, and what of it is written down.
---
---   leg ── sound ───────────> session ── sound, text ──> player ── plays ──> leg
---   leg ── VAD, keys ──┐         │  ▲
---                      ▼         ▼  └── what was heard, results
---                   floor     tools, exchanges ──> chronicle                mouth: our own words
---
--- Who has the floor: our VAD is there first, and only ducks what is said, then holds it; the provider's word decides. When it hears him too, the model is told what
--- of its answer had reached him; when it does not, the rest is played.
---
--- Where no realtime model is left the conversation is not over: world.over is given { lost = the failure, going = what calls.talk goes on with }, when
--- all that is there has been heard, or the caller speaks.
---
--- live.new takes what talk.new takes; of its world open_ears, is_live, answer and headings are not used, chat and has_model for the summary only, and
---   world.lead = function(options) -> session of speech.realtime
---
--- How the caller sounds is told by his words alone, and the script's rule is asked as soon as they are there: the model does not wait for it, and is cut off
--- when it says that he is to be put through. What a tool gives that was still running when the model was lost stands in the history of who goes on.
local bounded = require "calls.talk.bounded"
local caller = require "calls.talk.caller"
local chronicle = require "calls.talk.chronicle"
local chunks = require "voice.chunks"
local escalation = require "calls.talk.escalation"
local exchanges = require "calls.talk.exchanges"
local history = require "calls.talk.history"
local json = require "core.json"
local lexicon = require "voice.lexicon"
local log = require "core.log"
local metrics = require "core.metrics"
local mind = require "calls.talk.mind"
local mouth = require "calls.talk.mouth"
local own_tools = require "calls.talk.own_tools"
local player = require "calls.talk.player"
local reading = require "voice.reading"
local rule = require "calls.talk.rule"
local sentiment = require "calls.talk.sentiment"
local slots = require "calls.talk.slots"
local summary = require "calls.talk.summary"
local task = require "core.task"
local timeline = require "voice.timeline"
local tools = require "calls.talk.tools"
local turns = require "voice.turns"
local words = require "calls.talk.words"

local Live = {}
Live.__index = Live

local TOOL_MS = 10000
local CALLS_MOST = 12          -- of tools in an exchange
local ANSWER_MS = 6000         -- the longest silence until the model answers
local WORDS_LATE_MS = 1500     -- a provider may write down late what the caller said
local LEAVE_SOON_MS = 400      -- a sentence may stand behind the call that puts him through
local LEAVE_MOST_MS = 40000    -- the longest sentence before a transfer
local PAST_LIMIT_MS = 60000    -- the last sentence, and not more
local TOLD_BYTES = 400  -- of a reply, its last words: as long as a card's number can be when it is said word by word
local OPEN = { kind = "open" }
local KEYS, BETWEEN_MS = 64, turns.defaults.between_ms
local SILENCE_MS, SILENCE_MORE_MS, PROMPTS = turns.defaults.silence_ms, turns.defaults.silence_more_ms, turns.defaults.prompts

-- -- what is waited for -----------------------------------------------------------------------------------------------------------

local function stop(self, name)
  if self.clocks[name] then self.clocks[name]:cancel() end
  self.clocks[name] = nil
end

local safely

-- One clock of each name.
local function after(self, name, ms, fn)
  stop(self, name)
  self.clocks[name] = self.world.after(math.max(0, math.ceil(ms)), function()
    self.clocks[name] = nil
    safely(self, fn)
  end)
end

local function is_sounding(self) return next(self.own) ~= nil or self.player:is_busy() end

-- Is the floor the caller's, and does he not take it?
local function is_silent(self)
  return not (is_sounding(self) or self.caller:is_speaking() or self.awaits or self.exchanges:is_open() or self.leaving or self.lost) and #self.keys == 0
end

-- Why a human takes over, where it is that for which is left.
local function human_of(self)
  local how = self.leaving
  return how and (how:match("^human:(.*)$") or how == "transfer" and "transfer") or nil
end

local function go(self)
  local how, human = self.leaving, human_of(self)
  self:finish{ wants_human = human and true or false, why = human or how }
end

local function ask_whether_there(self)
  self.silences = self.silences + 1
  if self.silences > PROMPTS then return self:finish{ wants_human = false, why = "silence" } end
  self:say(words.en.silence)
end

-- What is to be done now that something has happened.
local function look(self)
  if self.is_over then return end
  if self.leaving and not is_sounding(self) and not (self.leaving == "limit" and self.exchanges:is_open()) then
    if not self.clocks.leave_soon then return go(self) end
  elseif self.lost and not is_sounding(self) then
    return self:hand_over()
  end
  if not is_silent(self) then return stop(self, "silence") end
  if not self.clocks.silence then after(self, "silence", self.silences > 0 and SILENCE_MORE_MS or SILENCE_MS, ask_whether_there) end
end

-- Does something that happened.
function safely(self, fn, ...)
  if self.is_over then return end
  local ok, err = pcall(fn, self, ...)
  if ok then ok, err = pcall(look, self) end
  if ok then return end
  log.error("converse.broke", { call = self.call.id, text = tostring(err) })
  self:finish{ failed = "something went wrong on our side" }
end

-- -- what is written down -----------------------------------------------------------------------------------------------------------

local function kept_of(self, said)
  local kept = self.chronicle:kept(said)
  kept.desk, kept.lead, kept.mood, kept.temper, kept.misses = self.desk, self.lead, self.mood, self.temper, self.misses
  return kept
end

function Live:keep()
  if self.asks then self.asks:settle(history.has, self.leaving) end
  self.world.keep(kept_of(self, self.chronicle.history:kept()), self.pressed - #self.keys)
  self.pressed = #self.keys
end

-- Asks the script's rule about a turn, once.
local function ask_rule(self, turn)
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

local function write_exchange(self, exchange)
  if #exchange.turns > 0 then weigh(self, exchange) end
  local is_turn = self.chronicle:exchange(exchange, self.player)
  if is_turn then self.silences = 0 end
  if self.is_over then return end
  self:keep()
  for _, turn in ipairs(exchange.turns) do ask_rule(self, turn) end  -- whose last words never came
  if self.slots and is_turn then self.desk.slots, self.filled = slots.turned(self.slots, self.desk.slots) end
  if self.slots and (self.filled or slots.complete(self.slots, self.desk.slots)) and not self.leaving and not self.caller:is_speaking() and not self.exchanges:owes() then self:leave("filled") end
  if is_turn and (self.limit_passed or self.chronicle.count >= self.args.limit.turns) then self:leave("limit") end
end

local function flush(self)
  if not self.exchanges:flush() then return stop(self, "words") end
  if not self.clocks.words then after(self, "words", WORDS_LATE_MS, function() self.exchanges:flush(true) end) end
end

-- -- our own words --------------------------------------------------------------------------------------------------------------------

--- Says something by our own voice.
--- @param guard string|nil  see voice.playing
function Live:say(text, guard)
  self.said = self.said + 1
  local cut = chunks.new()
  local pieces = cut:feed(text)
  for _, piece in ipairs(cut:finish()) do pieces[#pieces + 1] = piece end
  self.own[self.said] = { guard = guard }
  self.mouth:open(self.said, { guard = guard })
  self.mouth:speak(self.said, pieces, { kept = true })
  self.mouth:finish(self.said)
end

local function own_heard(self, id, text, all, whole)
  if not self.own[id] then return end
  self.own[id] = nil
  self.chronicle:own(text, all, whole)
  if not self.is_over then self:keep() end
end

-- The model may still speak, and the caller be heard.
local function own_failed(self, id, err)
  log.warn("converse.not_spoken", { call = self.call.id, class = err.class, text = err.text })
  own_heard(self, id, self.mouth:drop(id))
end

local function cut_own(self, by_keys)
  for id, own in pairs(self.own) do
    if not own.guard or by_keys and own.guard == "speech" then
      self.mouth:stop(id)
      own_heard(self, id, self.mouth:drop(id))
    end
  end
end

-- -- leaving --------------------------------------------------------------------------------------------------------------------------

--- Ends the conversation when the caller has heard what is being said. That it has lasted long enough is the least of reasons.
function Live:leave(how)
  if self.is_over or self.leaving and how == "limit" then return end
  self.leaving, self.left_at = how, self.heard_turn
  after(self, "leave", LEAVE_MOST_MS, go)
end

-- He says something before that: it is not done. The calls that it was to end have no result yet, and the model says nothing more until they have.
local function stay(self)
  if not self.leaving then return end
  self.leaving, self.muted = nil, nil
  stop(self, "leave")
  stop(self, "leave_soon")
  local calls = self.last_calls
  self.last_calls = {}
  for _, call in ipairs(calls) do
    self.running[call.id] = nil
    self.session:tool_result(call.id, call.text or "it was not done: the caller said something before", true)
  end
end

-- To a human, when he has heard that; the model says nothing more.
local function to_human(self, why, text)
  self.muted = true
  if self.exchanges:owes() then self.exchanges:take() end
  self.exchanges:flush(true)
  self:say(text)
  self:leave("human:" .. why)
end

-- -- who has the floor ----------------------------------------------------------------------------------------------------------------

local function mark_cut(self, number)
  local line = not self.exchanges:is_past(number) and self.exchanges:of(number).line
  if not line then return end
  local now = self.world.now()
  line:mark("voice_began", self.caller:since(now))
  line:mark("stopping", now)
end

local function duck(self, db)
  local leg = self.call.leg
  if leg then leg:duck(db, caller.RAMP_MS) end
end

-- The caller takes the floor, for good.
local function interrupt(self, by_keys)
  stop(self, "hold")
  stop(self, "noise")
  duck(self, 0)
  local number, ms = self.player:cut()
  if number then
    mark_cut(self, number)
    self.session:cancel(math.floor(ms), number)
  end
  cut_own(self, by_keys)
  stay(self)
  flush(self)
end

local function is_guarded(self)
  for _, own in pairs(self.own) do
    if own.guard then return true end
  end
  return false
end

-- It was a false alarm: the rest of what is held.
local function resume(self)
  stop(self, "noise")
  for id = 1, self.said do
    if self.own[id] then self.mouth:resume(id) end
  end
  self.player:resume()
end

-- Voice that the provider does not hear: music, a motor, somebody else.
local function take_for_noise(self)
  if self.caller.provider_hears and not human_of(self) then return end
  self.caller:is_noise()
  duck(self, 0)
  resume(self)
end

-- He speaks on: silence, until the provider says what to make of it.
local function hold(self)
  if human_of(self) then return end
  if self.lost and not self.muted then return self:hand_over() end
  if self.player:is_busy() then self.player:hold() end
  for id, own in pairs(self.leaving and {} or self.own) do
    if not own.guard then self.mouth:stop(id) end
  end
  after(self, "noise", turns.defaults.noise_ms, take_for_noise)
end

local function notice(self, kind, fields)
  if self.world.noticed then self.world.noticed(kind, fields) end
end

local function on_voice(self, position)
  notice(self, "speech", { ms = position })
  local since = self.caller:voice(position, self.world.now())
  -- Who is about to be put through is held up by words only.
  if not is_sounding(self) or is_guarded(self) or human_of(self) then return end
  duck(self, -turns.defaults.duck_db)
  after(self, "hold", turns.defaults.stop_ms - since, hold)
end

local function on_quiet(self, position)
  notice(self, "quiet", { ms = position })
  local event = self.caller:quiet(position, self.world.now(), self.exchanges:owes())
  stop(self, "hold")
  if self.caller.ended then self.exchanges:quiet(self.caller.ended) end
  if position >= turns.defaults.restore_ms then duck(self, 0) end
  if event == "resume" then resume(self) end
  if event == "expect" then self.session:expect_answer() end
end

-- -- keys -----------------------------------------------------------------------------------------------------------------------------

local function send_keys(self)
  stop(self, "keys")
  if self.lost then return end
  local keys = table.concat(self.keys)
  local text = "(presses " .. keys .. ")"
  self.keys, self.awaits = {}, true
  local turn = self.exchanges:typed(text, self.world.now())
  turn.keys = keys
  self.session:text(text)
  ask_rule(self, turn)
end

local function on_key(self, digit)
  self.pressed = self.pressed + 1
  if #self.keys >= KEYS then return end
  interrupt(self, true)
  if digit ~= "#" or #self.keys == 0 then self.keys[#self.keys + 1] = digit end
  if digit == "#" then return send_keys(self) end
  after(self, "keys", BETWEEN_MS, send_keys)
end

-- -- tools ----------------------------------------------------------------------------------------------------------------------------

-- Nothing more is said of this call, unless he stays.
local function keep_call(self, exchange, id, text)
  self.exchanges:leave(exchange)
  self.last_calls[#self.last_calls + 1] = { id = id, text = text }
end

local function leave_by(self, exchange, id, how)
  keep_call(self, exchange, id)
  self:leave(how)
  after(self, "leave_soon", LEAVE_SOON_MS, function() end)
end

-- Stands with its exchange, whoever leads by now: nobody is to ask for it again.
local function note_result(self, exchange, event, result, err)
  local ok, text = pcall(json.encode, result or { error = err.text })
  if not ok then
    log.error("converse.tool_broke", { call = self.call.id, tool = event.name, text = tostring(text) })
    result, err = nil, { code = "failed", text = "something went wrong on our side" }
    text = json.encode{ error = err.text }
  end
  exchange.steps[#exchange.steps + 1] = { role = "tool", tool_call_id = event.id, text = text, is_error = not result or nil }
  return result, err, text
end

local function on_result(self, exchange, event, result, err, text)
  if self.running[event.id] ~= exchange then return end  -- the provider took it back
  if result and result.leave then return leave_by(self, exchange, event.id, result.leave) end
  if not result and err.code ~= "invalid" then
    log.warn("converse.tool_failed", { call = self.call.id, tool = event.name, code = err.code })
    keep_call(self, exchange, event.id, text)
    return to_human(self, "tool_failed", words.en.broken)
  end
  self.running[event.id] = nil
  local is_sent = self.session:tool_result(event.id, text, not result)
  if not is_sent and not self.lost then return self.exchanges:uncalled(exchange) end
  self.exchanges:calls(exchange, -1)
  self.awaits = true
end

local function run_tool(self, event)
  local exchange = self.exchanges:of(event.reply)
  self.exchanges:calls(exchange, 1)
  self.running[event.id] = exchange
  exchange.steps[#exchange.steps + 1] = { role = "assistant", text = "", tool_calls = { { id = event.id, name = event.name, arguments = event.arguments } } }
  self.said_now, self.steps_now = self.exchanges.said(exchange), exchange.steps
  self.player:pause(event.reply)
  task.spawn(function()
    local result, err
    if exchange.made > CALLS_MOST then
      result, err = nil, { code = "invalid", text = "there were too many calls; answer with what is known" }
    else
      result, err = bounded(self.world.after, TOOL_MS, tools.run, self, self.tools, event.name, event.arguments)
    end
    safely(self, on_result, exchange, event, note_result(self, exchange, event, result, err))
  end)
end

-- -- what the session tells -------------------------------------------------------------------------------------------------------------

-- Has he asked for a human, or is he angry?
local function judge(self, turn)
  if turn.judged == turn.text or not turn.text:find("%S") then return end
  turn.judged, self.misses = turn.text, 0
  if turn.typed then return end
  if escalation.asks_for_human(turn.text, self.args.language) then
    interrupt(self)
    return to_human(self, "asked_for", words.en.human)
  end
  local _, anger = sentiment.of(turn.text, self.args.language)
  if self.args.anger == false or sentiment.temper(self.temper, anger) < sentiment.ANGRY then return end
  interrupt(self)
  to_human(self, "anger", words.en.upset)
end

local function judge_nothing(self, turn)
  if turn.text:find("%S") or turn.typed or not self.caller:was_long(turn) then return end
  local enough
  self.misses, enough = escalation.missed(self.misses, false)
  if not enough then return end
  interrupt(self)
  to_human(self, "not_understood", words.en.human)
end

-- Nothing of that reply is played.
local function leave_aside(self, number)
  if self.aside[number] then return end
  self.aside[number], self.unheard = true, true
  self.session:cancel(0, number)
end

-- The exchange that a reply is of, as a sign of it comes; nil where he has asked for a human.
local function answered(self, number)
  self.awaits = false
  if number ~= self.newest then
    self.newest = number
    self.caller:answered()
    for _, turn in ipairs(self.exchanges:waiting()) do
      judge(self, turn)
      if self.muted then return leave_aside(self, number) end
    end
  end
  local exchange = self.exchanges:says(number)
  if self.caller.ended and #exchange.turns > 0 then
    exchange.line:mark("ended", self.caller.ended)
    exchange.line:mark("committed", math.max(self.ended_at or 0, self.caller.ended))
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
  if not event.again then return end
  self.awaits = false
  self.caller.provider_hears = false
  self.exchanges:again()
end

function on.speech_started(self, event)
  self.caller.provider_hears, self.ended_at = true, nil
  self.heard_turn, self.unheard = math.max(self.heard_turn, event.turn), nil
  self.exchanges:spoke(event.turn, self.caller:since(self.world.now()))
  if not is_guarded(self) and not human_of(self) then interrupt(self) end
end

function on.speech_ended(self)
  local now = self.world.now()
  self.caller.provider_hears, self.awaits, self.ended_at = false, true, now
  self.exchanges:quiet(self.caller.ended or now)
end

-- Does he want something else than a human? "Mm-hm" and "thank you" are no such words.
local function objects(self, text, final)
  local language = self.args.language
  local want = reading.wants(text, OPEN, language, final)
  if want == "none" or want == "backchannel" then return false end
  local folded, of = reading.fold(text), lexicon.of(language)
  return not lexicon.only(of.closed, folded, of.backchannel) or lexicon.has(of.no, folded)
end

-- Words that hold him up who is about to be put through: of a turn that is none of those for which he is.
local function hold_up(self, event, turn)
  local waits = false
  for _, other in ipairs(self.exchanges:waiting()) do waits = waits or other == turn end
  if not waits and event.turn <= self.left_at or not objects(self, event.text, event.final) then return end
  local unheard = waits and self.unheard
  if unheard and not event.final then return end
  if waits then interrupt(self) else stay(self) end
  if not unheard then return end
  -- What it answered was for nobody.
  self.unheard, self.awaits = nil, true
  self.session:text(event.text)
end

function on.user_text(self, event)
  notice(self, event.final and "final" or "partial", { text = event.text })
  local turn = self.exchanges:words(event.turn, event.text, event.final, self.caller:since(self.world.now()))
  if human_of(self) then hold_up(self, event, turn) end
  self.heard_turn = math.max(self.heard_turn, event.turn)
  if event.final and not self.muted and not self.leaving then
    judge(self, turn)
    if not turn.judged then judge_nothing(self, turn) end
  end
  if event.final then ask_rule(self, turn) end
  flush(self)
end

function on.audio(self, event)
  if is_unwanted(self, event) or not answered(self, event.reply) then return end
  self.player:audio(event.reply, event.pcm)
end

function on.agent_text(self, event)
  if is_unwanted(self, event) or not answered(self, event.reply) then return end
  self.player:text(event.reply, event.text)
  if not self.world.telling then return end
  local told = self.told_of == event.reply and self.told or ""
  self.told_of, self.told = event.reply, (told .. event.text):sub(-TOLD_BYTES)
  self.world.telling(self.told)
end

function on.audio_end(self, event)
  if not is_unwanted(self, event) then self.player:over(event.reply) end
end

function on.tool(self, event)
  if is_unwanted(self, event) then return self.session:tool_result(event.id, "nobody wants it any more", true) end
  if answered(self, event.reply) then return run_tool(self, event) end
  self.session:tool_result(event.id, "nobody wants it any more", true)
end

function on.tool_cancelled(self, event)
  for i, call in ipairs(self.last_calls) do
    if call.id == event.id then table.remove(self.last_calls, i) break end
  end
  local exchange = self.running[event.id]
  self.running[event.id] = nil
  if exchange then self.exchanges:uncalled(exchange) end
  flush(self)
end

function on.interrupted(self)
  if self.player:is_busy() and not is_guarded(self) and not human_of(self) then interrupt(self) end
end

function on.turn_done(self, event)
  if is_unwanted(self, event) then return end
  if event.reason ~= "tool" then self.awaits = false end  -- it may have said nothing at all
  self.exchanges:done(event.reply, event.reason)
  self.player:over(event.reply)
  flush(self)
end

function on.error(self, event)
  log.warn("converse.realtime_lost", { call = self.call.id, class = event.class, text = event.text })
  metrics.count("conversations_unled_total", { class = event.class }, 1, "conversations that went on without the realtime model that led them")
  self.lost, self.awaits = event, false
  -- He speaks over what is held, and nobody hears him.
  if self.clocks.noise and self.caller:is_speaking() and not self.leaving then self:hand_over() end
end

local function on_event(self, event)
  local run = on[event.type]
  if run then run(self, event) end
end

-- -- ends -------------------------------------------------------------------------------------------------------------------------------

--- It is over: everything is let go of, and the world is told.
function Live:finish(result)
  if self.is_over then return end
  self:close()
  for name, value in pairs(self:sum_up(result.why)) do result[name] = value end
  self.world.over(result)
end

--- See calls.talk.summary.
function Live:sum_up(why) return summary.about(self, self.chronicle.history:kept(), self.chronicle.count, why) end

-- What was being said when it ended, by us and by him.
local function write_open(self)
  self.player:cut()
  cut_own(self, true)
  for id in pairs(self.own) do own_heard(self, id, self.mouth:drop(id)) end
  local text, began, ended = self.exchanges:rest()
  self.exchanges:close()
  if text ~= "" then self.chronicle:unanswered(text, began, ended, (sentiment.of(text, self.args.language))) end
end

local function let_go(self, keep_sound)
  for name in pairs(self.clocks) do stop(self, name) end
  self.player:close(keep_sound)
  self.mouth:close(keep_sound)
  if self.session then self.session:close() end
  if self.listener then self.listener:close() end
end

--- Writes what was being said, and lets go of session, synthesiser, plays and clocks.
--- @param keep_sound boolean|nil  the call is another worker's now, who goes on after the last finished turn
function Live:close(keep_sound)
  if self.is_over then return end
  self.is_over = true
  if not keep_sound then
    local ok, err = pcall(write_open, self)
    if not ok then log.error("converse.not_written", { call = self.call.id, text = tostring(err) }) end
  end
  let_go(self, keep_sound)
end

--- No realtime model is left: others go on. What the caller has said and nobody has answered they hear again; where an answer was broken off he
--- is asked to say it again.
function Live:hand_over()
  if self.is_over then return end
  local going = self.caller:unanswered(self.world.now())
  local current = self.exchanges.current
  going.again = current ~= nil and not current.over or not going.sound and self.exchanges:owes()
  if going.again then going.sound = nil elseif going.sound then self.exchanges:again() end  -- others write down what they hear
  self:close()
  local said = self.chronicle.history
  going.kept, going.rule = kept_of(self, { turns = said.turns, left_out = said.left_out, earlier = said.earlier }), self.rule
  self.world.over{ lost = self.lost, going = going, turns = self.chronicle.count, lead = self.lead }
end

-- -- from outside -----------------------------------------------------------------------------------------------------------------------

--- What the leg says.
function Live:on_media(kind, id, position)
  if kind == "speech" then return safely(self, on_voice, position or 0) end
  if kind == "quiet" then return safely(self, on_quiet, position or 0) end
  if kind ~= "begun" and kind ~= "played" and kind ~= "stopped" then return end
  safely(self, function()
    self.mouth:on_media(kind, id, position or 0)
    self.player:on_media(kind, id, position or 0)
  end)
end

function Live:on_digit(digit) safely(self, on_key, digit) end

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
      if not self.is_over then flush(self) end
    end,
    full = function(number, ms) self.session:cancel(math.floor(ms), number) end,
  }
  self.mouth = mouth.new{
    leg = leg, say = world.say, now = world.now, next_id = next_id, mark = function() end,
    tell = function() safely(self, function() end) end,
    done = function(reply) safely(self, own_heard, reply.id, mouth.heard(reply)) end,
    failed = function(reply, err) safely(self, own_failed, reply.id, err) end,
  }
  self.exchanges = exchanges.new{ line = function() return timeline.new(self.chronicle.count + 1) end, over = function(exchange) write_exchange(self, exchange) end }
end

-- What the model is told of before: with what we say to the caller meanwhile.
local function messages(self, saying)
  local before = self.chronicle.history
  local said = history.new{ turns = { unpack(before.turns) }, left_out = before.left_out, earlier = { unpack(before.earlier) } }
  said:add(nil, nil, saying, true)
  return said:messages()
end

local function instructions(self)
  local language = self.args.language
  return mind.system(self.call, self.args) .. (self.slots and "\n\n" .. slots.rule(self.slots) or "")
    .. (language and ("\n\nThe language of this call is \"%s\"."):format(language) or "")
end

--- Begins: greets, or goes on after a predecessor's last finished turn. True, or nil, err.
--- @param keys table  that were pressed already
function Live:begin(keys)
  local args = self.args
  local listener, err = self.call.leg:listen{ rate = caller.RATE, batch_ms = caller.BATCH_MS, keep_ms = caller.KEEP_MS, on_audio = function(pcm)
    if self.is_over then return end
    self.caller:hears(pcm)
    if self.session then self.session:audio(pcm) end
  end }
  if not listener then return nil, err end
  self.listener = listener
  local left_ms = math.max(0, args.limit.seconds * 1000 - self.chronicle.spent_ms)
  after(self, "limit", left_ms, function()
    self.limit_passed = true
    self:leave("limit")
  end)
  after(self, "past_limit", left_ms + PAST_LIMIT_MS, function() self:finish{ wants_human = false, why = "limit" } end)
  local is_filled = self.resumed and self.slots and slots.are_over(self.slots, self.desk.slots)
  local saying = self.is_ruled and words.en.human or is_filled and words.en.filled or self.resumed and words.en.again or args.greeting or words.en.greeting
  if self.slots and not self.resumed then saying = saying .. " " .. self.slots[1].prompt end
  local before = messages(self, saying)
  self:say(saying, not self.resumed and self.call.direction == "outbound" and "speech" or nil)
  self.session = self.world.lead{ instructions = instructions(self), tools = self.tools, history = before, answer_ms = ANSWER_MS,
    on_event = function(event) safely(self, on_event, event) end }
  self.muted = self.is_ruled or nil
  if self.is_ruled then self:leave("human:rule") elseif is_filled then self:leave("filled") end
  self:keep()  -- whoever takes it up greets nobody again, and knows what was taken up
  for _, digit in ipairs(keys) do self:on_digit(digit) end
  return true
end

-- The script's rule says so.
local function put_through(self)
  interrupt(self)
  to_human(self, "rule", words.en.human)
end

local live = {}

--- See above.
function live.new(given)
  local kept, args, world = given.kept or {}, given.args, given.world
  local self = setmetatable({
    call = given.call, args = args, key = given.key, world = world, clocks = {}, own = {}, aside = {}, running = {}, last_calls = {}, heard_turn = 0, left_at = 0, said = 0,
    keys = {}, pressed = 0, silences = 0, misses = kept.misses or 0,
    desk = kept.desk or {}, lead = kept.lead, resumed = kept.greeted, caller = caller.new(), chronicle = chronicle.new(world, kept),
    asks = world.asks, mood = kept.mood, temper = kept.temper or 0, ruled = kept.turns or 0,
  }, Live)
  own_tools.take_up(self.chronicle.history, kept, given.told)
  if args.escalate and world.asks then
    self.rule = rule.new(world.asks, world.after):of(function()
      if not self.muted then safely(self, put_through) end
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
