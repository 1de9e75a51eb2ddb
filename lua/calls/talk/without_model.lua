-- SPDX-License-Identifier: Apache-2.0
--- Who answers when no model is set up: greeting, question, response from the tenant's knowledge base, word for word, and a call back, with
--- the slots it needs by speech or keys; else a human.
---
---   open ── question ──> answer ──> offer ── yes ──> (number, when none is known) ──> noted ──┐
---    ▲         │ not known: what there is to ask; twice: a human     └─ no ──┐                ▼
---    └─────────┴───────────────── a question ◄───────────────────────────── more ── no ──> goodbye
---
--- Decisions and words only: what is to be said, expected and done; the tools and the knowledge base are asked through `world`.
local escalation = require "calls.talk.escalation"
local lexicon = require "voice.lexicon"
local reading = require "voice.reading"
local sentences = require "calls.talk.sentences"
local slots = require "calls.talk.slots"
local words = require "calls.talk.words"

local without_model = {}

local TITLES_SAID = 3
local NUMBER_LEAST, NUMBER_MOST = 7, 15

local YES_NO, OPEN = { kind = "yes_no" }, { kind = "open" }
local NUMBER = { kind = "digits", finish = "#", silence_ms = 12000 }

local BYE = {}
for phrase in ("goodbye,good bye,no thats all,thats all,nothing else,bye,stop,nothing,nichts,nichts mehr,sonst nichts,nada,nada mas,rien,rien dautre,niente,nientaltro,mais nada")
  :gmatch("[^,]+") do BYE[phrase] = true end

-- Words that close nothing in what else is said.
local NO = {}
for phrase in ("not now,wrong,thats wrong,falsch,das ist falsch,jetzt nicht,nicht jetzt,ahora no,incorrecto,esta mal,pas maintenant,faux,cest faux,non ora,sbagliato,e sbagliato,"
  .. "agora nao,errado,esta errado"):gmatch("[^,]+") do NO[phrase] = true end

local function folded_of(text) return reading.fold(text):match("^%s*(.-)%s*$") end

--- "yes", "no" or nil; a key where it was asked for: 1 and 2.
local function closed(said, language)
  if said.keys then return said.keys == "1" and "yes" or said.keys == "2" and "no" or nil end
  local of, folded = lexicon.of(language), reading.fold(said.text)
  if NO[folded_of(said.text)] then return "no" end
  if not lexicon.only(of.closed, folded) then return nil end
  if lexicon.has(of.no, folded) then return "no" end
  return lexicon.has(of.yes, folded) and "yes" or nil
end

without_model.closed = closed

local function topics(world)
  if #world.titles == 0 then return world.says.no_topics end
  return sentences.with(world.says.topics, words.listed(world.titles, TITLES_SAID, world.says["and"]))
end

local function human(world, why, text) return { say = text or world.says.human, human = why } end

local function missed(state, world, text)
  local enough
  state.misses, enough = escalation.missed(state.misses or 0, false)
  if enough then return human(world, "not_understood") end
  return { say = text .. " " .. topics(world), expect = state.stage == "offer" and YES_NO or OPEN, missed = true }
end

local function goodbye(world) return { say = world.says.goodbye, leave = "hangup" } end

-- "Thanks, goodbye", "das war's": nothing but that. "Ciao" and "bom dia" are no goodbye of who has not asked anything yet.
local function says_bye(state, text, language)
  local folded, of = reading.fold(text), lexicon.of(language)
  if BYE[folded_of(text)] then return true end
  if not lexicon.only(of.goodbye, folded, of.filler) then return false end
  return lexicon.has(of.farewell, folded) or lexicon.has(of.closing, folded) or state.topic ~= nil and lexicon.has(of.greeting, folded)
end

-- "Hello?", "good morning": he answers nothing and asks nothing, and wants to know whether he is heard.
local function only_greets(text, language)
  local folded, of = reading.fold(text), lexicon.of(language)
  return lexicon.has(of.opener, folded) and lexicon.only(of.opener, folded, of.filler)
end

local function asks_back(text, language)
  local folded, of = reading.fold(text), lexicon.of(language)
  return lexicon.has(of.callback, folded) and not lexicon.has(of.no, folded) and lexicon.only(of.callback_only, folded, of.filler)
end

-- The lead: everything that is known by now.
local function note_down(state, world, number)
  local interest = state.topic and "asked about: " .. state.topic or "asked to be called back"
  local ok = world.note_down{ phone = number, interest = interest }
  if not ok then return human(world, "tool_failed", world.says.not_noted) end
  state.noted, state.stage = true, "more"
  return { say = world.says.noted .. " " .. world.says.more, expect = YES_NO }
end

local function call_back(state, world)
  if world.caller_number then return note_down(state, world, nil) end
  state.stage = "number"
  return { say = world.says.number, expect = NUMBER }
end

local stages = {}

function stages.number(state, world, said)
  local digits = (said.keys or said.text):gsub("%D", "")
  if #digits >= NUMBER_LEAST and #digits <= NUMBER_MOST then return note_down(state, world, digits) end
  local enough
  state.misses, enough = escalation.missed(state.misses or 0, false)
  if enough then return human(world, "not_understood") end
  return { say = world.says.number, expect = NUMBER, missed = true }
end

function stages.offer(state, world, said)
  local answer = closed(said, world.language)
  if answer == "yes" then return call_back(state, world) end
  if answer == "no" then
    state.stage = "more"
    return { say = world.says.more, expect = YES_NO }
  end
end

function stages.more(state, world, said)
  local answer = closed(said, world.language)
  if answer == "no" then return goodbye(world) end
  if answer == "yes" then
    state.stage = "open"
    return { say = world.says.which .. " " .. topics(world), expect = OPEN }
  end
end

function stages.open(_, world, said)
  local answer = closed(said, world.language)
  if answer == "yes" then return { say = topics(world), expect = OPEN } end
  if answer == "no" then return goodbye(world) end
end

local function question(state, world, text)
  local known = world.ask(text)
  if not known then return missed(state, world, world.says.unknown) end
  state.misses, state.topic = 0, text
  if world.can_note and not state.noted then
    state.stage = "offer"
    return { say = known .. " " .. world.says.offer, expect = YES_NO }
  end
  state.stage = "more"
  return { say = known .. " " .. world.says.more, expect = YES_NO }
end

-- Who only greets is asked once more; who does so again is not understood: a recogniser may take any noise for it.
local function asked_again(state, world, again)
  state.greeted = true
  local is_open = state.stage == "open"
  local text = is_open and world.says.which or world.says[state.stage]
  if again then return missed(state, world, text) end
  return { say = text, expect = is_open and OPEN or YES_NO }
end

local function slot_answered(state, world, said, greeted_before)
  state.greeted = not said.keys and only_greets(said.text or "", world.language) or nil
  if state.greeted and not greeted_before then return slots.asked(world.slots, state.slots, world.says) end
  local answer, known
  if state.greeted then
    answer, known = slots.missed(world.slots, state.slots, world.says)
  else
    answer, known = slots.answer(world.slots, state.slots, said, function(of) return closed(of, world.language) end, world.says)
  end
  state.slots = known
  return answer
end

--- Answers a turn: { say, expect, leave = "hangup" | nil, human = why | nil, missed }.
--- @param state table  { stage, misses, topic, noted, greeted = did he only greet just now, slots = what is known of them (calls.talk.slots) }; changed, kept with the call
--- @param world table  { slots = list of the verb's, or nil: they are asked for first; says = of calls.talk.sentences, titles = of words.titles, language,
---   caller_number, can_note = may a lead be made, ask = function(text) -> answer | nil (may wait), note_down = function({ phone, interest }) -> boolean (may wait) }
--- @param said table   { text, keys }
function without_model.answer(state, world, said)
  state.stage = state.stage or "open"
  local text = said.text or ""
  local asked = world.slots and state.slots and world.slots[state.slots.at]
  if said.keys == "0" and state.stage ~= "number" and not asked then return human(world, "asked_for") end
  if not said.keys and escalation.asks_for_human(text, world.language) then return human(world, "asked_for") end
  local greeted_before = state.greeted
  state.greeted = nil
  if asked then return slot_answered(state, world, said, greeted_before) end
  local result = stages[state.stage](state, world, { text = text, keys = said.keys })
  if result then
    if not result.missed then state.misses = 0 end
    return result
  end
  if said.keys then return missed(state, world, world.says.unclear) end
  if says_bye(state, text, world.language) then return goodbye(world) end
  if only_greets(text, world.language) then return asked_again(state, world, greeted_before) end
  if world.can_note and asks_back(text, world.language) then return call_back(state, world) end
  return question(state, world, text)
end

return without_model
