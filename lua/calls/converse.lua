-- SPDX-License-Identifier: Apache-2.0
--- call:converse: a conversation (calls.talk) with this worker's clock, recognisers, synthesisers and models, kept in the verb's journal entry
--- so that whoever takes the call up goes on after its last finished turn.
---
---   realtime model (calls.talk.live) ── none is left: what was said, and what nobody has answered ──> recogniser, model, synthesiser (calls.talk)
---
--- Where the script gave functions (tools of its own, a rule) the verb returns with { ask = question } while the conversation goes on, and is asked
--- for again with what the function gave (calls.talk.asks).
---
--- No key is needed: the local recogniser and synthesiser are always the last in the order, and the knowledge base answers without a model.
local ai = require "ai"
local asks = require "calls.talk.asks"
local answerer = require "ai.local"
local cards = require "calls.cards"
local clock = require "core.clock"
local kb = require "kb"
local keys = require "calls.keys"
local live = require "calls.talk.live"
local log = require "core.log"
local metrics = require "core.metrics"
local providers = require "ai.providers"
local redact = require "ai.guard.redact"
local scripts = require "scripts"
local speech = require "speech"
local summaries = require "calls.summaries"
local talk = require "calls.talk"
local task = require "core.task"
local timer = require "core.timer"
local transcript = require "calls.transcript"

local converse = {}

local RATE = 8000
local LINE_MS = 10      -- no conversation has a line in less
local MODELS_MS = 5000  -- how long is known whether there is a model
local SAID_BEFORE = 24  -- turns of the caller that a card's number may be told over

-- Whether the tenant has a model that can be asked; asked again now and then, for keys come and go.
local function model_of(tenant)
  local known, until_ms = false, 0
  return function()
    if clock.mono_ms() < until_ms then return known end
    until_ms = clock.mono_ms() + MODELS_MS
    local ok, models = pcall(providers.models, tenant, true)
    known = false
    for _, model in ipairs(ok and models or {}) do known = known or (model.purpose or "chat") == "chat" and model.kind ~= "local" end
    return known
  end
end

-- The knowledge base's own sentence, or nil.
local function answer_of(call)
  return function(text)
    local answer = answerer.answer(call.tenant, { messages = { { role = "user", text = text } } }, { version = call.hash })
    return answer and answer.known and answer.text or nil
  end
end

local function entry_name(visit, n) return ("j%d.%d"):format(visit, n) end

-- What is kept of it, without cards' numbers: also of those that the caller began in turns before (calls.talk.history) and goes on with in the one in
-- which the script is asked.
local function without_cards(kept)
  local turns, of_asks, texts = kept.history and kept.history.turns or {}, {}, {}
  local noted = kept.asks or {}
  for _, one in ipairs(noted.done or {}) do of_asks[#of_asks + 1] = one.said and one end
  of_asks[#of_asks + 1] = noted.open and noted.open.said and noted.open
  if of_asks[1] then
    for i, turn in ipairs(turns) do texts[i] = turn.user or "" end
    local at = {}
    for i, one in ipairs(of_asks) do
      if i == 1 or one.said ~= of_asks[i - 1].said then texts[#texts + 1] = one.said end  -- of one turn
      at[i] = #texts
    end
    texts = redact.cards_said(texts)
    for i, turn in ipairs(turns) do turn.user = turn.user and texts[i] end
    for i, one in ipairs(of_asks) do one.said = texts[at[i]] end
  end
  return redact.cards_in(kept)
end

-- Writes what a successor needs, the newest only, one write after the other: into the visit in which it talks, as long as that is the call's.
local Keeper = {}
Keeper.__index = Keeper

-- @param questions table  of calls.talk.asks
-- @param entry table      of the verb that is under way; or that returned with a question last
local function keeper(call, questions, entry, n)
  return setmetatable({ call = call, questions = questions, entry = entry, n = n, visit = call.visit, latest = entry.more or {}, emptied = {} }, Keeper)
end

function Keeper:is_over()
  return self.entry.done and not self.asking or self.call.frozen or self.call.gone_why or self.call.visit ~= self.visit
end

function Keeper:write()
  while self.due and not self:is_over() do
    self.due = false
    local fields = { [entry_name(self.visit, self.n)] = self.entry, digits = self.call:digits_kept() }
    for n, entry in pairs(self.emptied) do
      entry.more = nil
      fields[entry_name(self.visit, n)] = entry
    end
    self.emptied = {}
    self.call:keep(fields)
  end
end

-- Into the entry that is written next anyway.
function Keeper:note()
  local latest = {}
  for name, value in pairs(self.latest) do latest[name] = value end
  if self.questions.last > 0 then latest.asks = self.questions:kept() end
  self.entry.more = without_cards(latest)
end

function Keeper:keep(kept, keys_used)
  for _ = 1, keys_used do self.call:take_digit() end
  self.latest = kept
  self:note()
  if not self.n then return end
  self.due = true
  if self.writing then return end
  self.writing = true
  task.spawn(function()
    local ok, err = pcall(self.write, self)
    self.writing = false
    if not ok then log.error("converse.not_kept", { call = self.call.id, text = tostring(err) }) end
  end)
end

-- The verb is asked for again: what was kept is this entry's from now on.
function Keeper:move_to(entry, n)
  self.emptied[self.n] = self.entry
  self.entry, self.n, self.asking = entry, n, nil
  self:note()
end

local function world_of(call, voice, headings, questions, keep, over)
  local from_start_ms = (clock.wall_us() - (call.started_us or clock.wall_us())) / 1000
  return {
    now = clock.mono_ms, after = timer.after, chat = ai.chat, has_model = model_of(call.tenant), answer = answer_of(call), headings = headings,
    is_live = voice.is_live, lead = voice.lead, keep = keep, over = over, asks = questions,
    -- Where its lines are numbered from: behind those of the conversations that the call had before, in whichever worker.
    first_line = math.floor(from_start_ms / LINE_MS),
    say = function(text, kept)
      kept = kept and cards.may_keep(call, text)
      cards.says(call, text)
      return voice.say({ text = text, rate = RATE }, kept)
    end,
    open_ears = voice.open, noticed = function(kind, fields) cards.noticed(call, kind, fields) end,
    telling = function(text, reply) cards.tells(call, text, reply) end, is_card = function() return cards.is_pressed(call) end,
    timed = function(report) call:timed(report) end, asks_keys = function(are_asked) keys.asked(call, are_asked) end,
    transcript = function(line)
      -- A line may be of what was heard before that which is heard now; and of what was cut off before it was heard there is none.
      if not (call.talk and call.talk:is_sounding()) then cards.said(call) end
      line.began_ms, line.ended_ms = line.began_ms + math.floor(from_start_ms), line.ended_ms + math.floor(from_start_ms)
      transcript.add(call, line)
    end,
  }
end

local REASONS = { gone = "the caller has hung up", frozen = "the call moves to another worker", cut = "a human was asked for" }

local function left(kind) return nil, { code = kind, text = REASONS[kind] } end

-- The newest entry of before that has something kept: it returned with the question that this one answers.
local function before(call, n)
  for k = n - 1, 1, -1 do
    local entry = call.journal.entries[k]
    if entry.name == "converse" and entry.more then return entry, k end
  end
end

-- An error in a function of the script is for its author to read.
local function tell_author(call, told)
  local file, line, text = told.broke:match("^([%w_%./%-]+):(%d+): (.*)$")
  scripts.log(call.tenant, { level = "error", call = call.id, call_id = call.row_id, state = call.state, bundle_hash = call.hash, file = file, line = tonumber(line),
    text = "a function of converse: " .. (text or told.broke) })
end

-- What is kept of it besides the transcript.
local function keep_summary(call, about)
  if about.turns == 0 then return end
  summaries.keep(call, { summary = about.summary, sentiment = about.sentiment, lead = about.lead and about.lead.id, ask = about.ask_summary })
end

-- Everything of a conversation is let go of. Of one that had not come to its end what was said until then is kept.
local function close(call, going, kind)
  if going.talk then going.talk:close(kind == "frozen") end
  cards.talked(call)
  keys.asked(call, false)
  if kind == "gone" or kind == "cut" then keep_summary(call, going.talk:sum_up()) end
  going.questions:close()  -- behind that: who waits for an answer has no conversation to go on with
  call.talk, call.conversing, call.left_talking = nil, nil, nil
end

-- A question as the journal has it: of a number that the caller began in turns before, no part that makes it whole.
local function as_asked(going, question)
  local turn = not question.tool and question.given
  local said = turn and (turn.keys or turn.text)
  if not said then return redact.cards_in(question) end
  local list, copy = going.said, {}
  list[#list + 1] = said
  if #list > SAID_BEFORE then table.remove(list, 1) end
  local masked = redact.cards_said(list)[#list]
  for name, value in pairs(turn) do copy[name] = value end
  copy[turn.keys and "keys" or "text"] = masked
  return redact.cards_in{ id = question.id, given = copy }
end

-- Waits for the conversation's end, or for its next question to the script: the verb's result; or nil, err.
local function follow(call, going, entry)
  local kind, question
  call.left_talking = nil
  local whole, broke = pcall(function()
    while not going.result do
      question = going.questions:next()
      if question then return end
      kind = call:await({ talked = true })
      if REASONS[kind] then return end
    end
  end)
  if whole and question then
    going.keeper.asking = true
    going.keeper:note()
    -- Nobody waits meanwhile: whoever ends the call, or the state, ends the conversation.
    call.left_talking = function(why) close(call, going, why) end
    return { ask = as_asked(going, question) }
  end
  close(call, going, kind)
  if not whole then error(broke, 0) end
  local result = going.result
  if not result then return left(kind) end
  entry.more = nil
  local why = result.failed and "failed" or result.why
  metrics.count("conversations_total", { why = why }, 1, "conversations with callers, by what ended them")
  log.info("call.conversed", { call = call.id, why = why, turns = result.turns, wants_human = result.wants_human })
  keep_summary(call, result)
  if result.failed then return nil, { code = "failed", text = result.failed } end
  if result.lead then call.lead = result.lead.id end
  return { lead = result.lead, wants_human = result.wants_human, why = result.why, reason = result.reason, turns = result.turns, slots = result.slots, sentiment = result.sentiment,
    summary = summaries.masked(call, result.summary) }
end

local lead

-- Without the realtime model that is lost. At once, for the script may be at work at a question, and nobody waits here.
local function go_on(call, args, going, from)
  going.talk:close()
  cards.said(call)  -- nothing of it is heard any more; its last line was written before that
  local whole, ok, problem = pcall(lead, call, args, going, talk, from.kept, from)
  if not whole then log.error("converse.broke", { call = call.id, text = tostring(ok) }) end
  if whole and ok then return end
  going.result = { failed = whole and problem.text or "something went wrong on our side", turns = from.kept.turns or 0 }
end

-- Has one lead it from now on: true; or nil, err.
-- @param of table         calls.talk.live or calls.talk
-- @param from table|nil   of the one that led it until now: result.going of calls.talk.live
function lead(call, args, going, of, kept, from)
  local world = going.world(function(found)
    if found.lost then go_on(call, args, going, found.going) else going.result = found end
    call:happen("talked")
  end)
  going.talk = of.new{ call = call, args = args, kept = kept, going = from, told = not from and going.told or nil, key = going.key, world = world }
  call.talk = going.talk
  return going.talk:begin(call.digits)
end

-- Begins one, or takes up a predecessor's: what is under way; or nil, err.
local function begin(call, args, entry, n, told)
  local leg, err = call:sound()
  if not leg then return nil, err end
  local earlier, k
  if told and not entry.more then
    earlier, k = before(call, n)
    entry.more = earlier and earlier.more
  end
  local questions = asks.new({ after = timer.after, wake = function() call:happen("talked") end }, entry.more and entry.more.asks)
  local keep = keeper(call, questions, entry, n)
  if earlier then keep.emptied[k] = earlier end
  pcall(providers.models, call.tenant)  -- read once, so that nobody has to wait for it in the midst of a turn
  local scope = { purpose = "call", call_row = call.row_id, call_id = call.id, trace = call.trace and { id = call.trace } }
  local voice = speech.conversation(call.tenant, scope, args.language)
  args = setmetatable({ language = voice.language }, { __index = args })
  local headings = kb.headings(call.tenant, call.hash) or {}
  -- Providers and knowledge base may have been waited for.
  if call.frozen then return left("frozen") end
  if not call.leg then return left("gone") end
  if call.cutting then return left("cut") end
  local going = { questions = questions, keeper = keep, told = told, key = entry.key or ("%s:%d:%d"):format(call.id, call.visit, n or 0), said = {} }
  for _, turn in ipairs(entry.more and entry.more.history and entry.more.history.turns or {}) do going.said[#going.said + 1] = turn.user end
  going.world = function(over) return world_of(call, voice, headings, questions, function(...) keep:keep(...) end, over) end
  call.conversing = going
  local whole, ok, problem = pcall(lead, call, args, going, voice.may_lead() and live or talk, entry.more)
  if whole and ok then return going end
  close(call, going)
  if not whole then error(ok, 0) end
  return nil, { code = "failed", text = problem.text }
end

--- The verb: its result, or { ask = question to the script }; or nil, err.
--- @param args table      of the gate, with their defaults
--- @param entry table     of the journal; entry.more is what a predecessor kept
--- @param told table|nil  what the script gave to the question that the verb returned with last: { id, value | refused | broke }
function converse.run(call, args, entry, n, told)
  if told and told.broke then tell_author(call, told) end
  local going = told and call.conversing
  if going then
    going.keeper:move_to(entry, n)
    going.questions:tell(told)
    return follow(call, going, entry)
  end
  local err
  going, err = begin(call, args, entry, n, told)
  if not going then return nil, err end
  return follow(call, going, entry)
end

return converse
