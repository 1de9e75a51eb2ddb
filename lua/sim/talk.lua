-- SPDX-License-Identifier: Apache-2.0
--- A conversation of a simulated call. What the AI does is its caller's list `ai`, step by step: a turn takes steps up to the first that says
--- something or ends the conversation. Without such a list each turn is answered with nothing, or with the next question of its slots. What a live conversation decides by itself is
--- decided here by the same rules: who asks for a human, is angry, is not understood twice, meets a tool that breaks, or is meant by the script's
--- rule is put through; who is silent for long is let go.
---
--- Tools of the script's own and its rule run in the cell, as live: play() returns { ask = question }, and goes on with what the script gave.
local escalation = require "calls.talk.escalation"
local history = require "calls.talk.history"
local json = require "core.json"
local own_tools = require "calls.talk.own_tools"
local sentences = require "calls.talk.sentences"
local sentiment = require "calls.talk.sentiment"
local slots = require "calls.talk.slots"
local summary = require "calls.talk.summary"
local without_model = require "calls.talk.without_model"

local talk = {}

local SILENCE_MS, SILENCES, THINKS_OF_IT_MS = 7000, 3, 1000
local NEXT_KEY_MS = 400  -- keys of one step of the caller are one answer
local HUMAN = { asked_for = true, anger = true, not_understood = true, tool_failed = true, rule = true, transfer = true }

local phases = {}

local function says_of(options) return sentences.of(options.language, options.sentences) end

-- -- tools ----------------------------------------------------------------------------------------------------------------------

local builtin = {}

function builtin.create_lead(call, t, given, world)
  if t.lead then return builtin.update_lead(call, t, given, world) end
  local made, err = world.create_lead(call, { { name = given.name, phone = given.phone, email = given.email, score = given.score, notes = given.interest } })
  if not made then return nil, err end
  t.lead = made
  return { lead = made.id }
end

function builtin.update_lead(call, t, given, world)
  if not t.lead then return builtin.create_lead(call, t, given, world) end
  local lead = call.leads[#call.leads]
  lead.name, lead.phone, lead.email = given.name or lead.name, given.phone or lead.phone, given.email or lead.email
  lead.notes, lead.score = given.interest or lead.notes, given.score or lead.score
  t.lead.score = lead.score
  return { lead = lead.id }
end

function builtin.book_callback(call, t, given, world)
  if not t.lead then
    local made, err = builtin.create_lead(call, t, given, world)
    if not made then return nil, err end
  end
  call.leads[#call.leads].data = { callback = { at = given.at, phone = given.phone } }
  return { lead = t.lead.id, at = given.at }
end

function builtin.lookup_kb() return { passages = {} } end
function builtin.transfer(_, t) t.leave = "transfer" return {} end
function builtin.hangup(_, t) t.leave = "hangup" return {} end

function builtin.fill(_, t, given, _, options)
  local known, why = slots.fill(options.slots, t.slots, given)
  if not known then return nil, { code = "invalid", text = why } end
  t.slots = known
  if slots.complete(options.slots, known) then t.filled = true end
  return { known = known.values }
end

local function find(options, name)
  if name == "fill" and options.slots then return name end
  for _, tool in ipairs(options.tools or {}) do
    if tool == name or type(tool) == "table" and tool.name == name then return tool end
  end
end

-- Notes what came of a tool: for the test, and as a live conversation's history has it.
local function note(call, t, used, result, err)
  used.result, used.error = result, err
  call.tools[#call.tools + 1] = used
  local id = "t" .. #call.tools
  t.steps[#t.steps + 1] = { role = "assistant", text = "", tool_calls = { { id = id, name = used.name, arguments = json.encode(used.given or {}) } } }
  t.steps[#t.steps + 1] = { role = "tool", tool_call_id = id, text = "", is_error = err and true or nil }
end

local function broke(call, text)
  local file, line, bare = text:match("^([%w_%./%-]+):(%d+): (.*)$")
  call:add_error{ kind = "error", text = "a function of converse: " .. (bare or text), file = file, line = tonumber(line), state = call.state }
end

-- Runs a tool of the AI's: a question to the script, or nothing.
local function use(call, t, options, step, world)
  local tool, used = find(options, step.tool), { name = step.tool, given = step.given }
  if not tool then
    call:add_error{ kind = "error", text = ("the AI of the simulated call uses '%s', which is none of the conversation's tools"):format(step.tool), state = call.state }
    return note(call, t, used, nil, "there is no such tool")
  end
  if type(tool) == "table" then
    local given, problem = own_tools.arguments(own_tools.tool(tool), step.given or {})
    if not given then return note(call, t, used, nil, problem) end
    t.asked, t.last, used.given = used, t.last + 1, given
    return { ask = { id = t.last, tool = tool.name, given = given } }
  end
  local result, err = builtin[step.tool](call, t, step.given or {}, world, options)
  note(call, t, used, result, err and err.text)
  if err and err.code ~= "invalid" then t.why = "tool_failed" end
end

-- -- turns ----------------------------------------------------------------------------------------------------------------------

-- Who has spoken, and how: nil, err when he has hung up.
function phases.listens(call, t, options)
  local heard_before = #call.heard
  local kind, ms = call.caller:await(call, math.min(SILENCE_MS, math.max(0, t.over_at - call.now_ms)), "keys", true)
  if kind == "gone" then return "gone" end
  if kind == "timeout" then
    t.silences = t.silences + 1
    t.why = call.now_ms >= t.over_at and "limit" or t.silences >= SILENCES and "silence" or nil
    return
  end
  t.turns, t.silences, t.steps, t.text, t.keys, t.leave, t.reply = t.turns + 1, 0, {}, "", nil, nil, nil
  local word, anger = "neutral", 0
  if kind == "speech" then
    call:move_to(call.now_ms + ms)
    t.text = call.heard[heard_before + 1] or ""
    word, anger = sentiment.of(t.text, options.language)
    t.mood = sentiment.mood(t.mood, word)
    if escalation.asks_for_human(t.text, options.language) then t.why = "asked_for" end
  else
    while call.caller:await(call, NEXT_KEY_MS, "keys", true) == "digit" do end
    t.keys = table.concat(call.digits)
    if t.keys == "0" then t.why = "asked_for" end
    call.digits = {}
  end
  t.word, t.temper = word, sentiment.temper(t.temper, anger)
  if not t.why and options.anger ~= false and t.temper >= sentiment.ANGRY then t.why = "anger" end
  if call.gone_why then return "gone" end
  t.phase = "rule"
end

function phases.rule(call, t, options)
  t.phase = "answers"
  if t.why or not options.escalate then return end
  t.asked, t.last = "rule", t.last + 1
  return nil, { ask = { id = t.last, given = { n = t.turns, text = t.text, keys = t.keys, sentiment = t.word, angry = t.temper >= sentiment.ANGRY,
    misunderstood = t.misses, seconds = math.floor((call.now_ms - t.began) / 1000) } } }
end

local function end_turn(call, t, options, world)
  if t.reply then
    call.said[#call.said + 1] = t.reply
    if not world.hear(call, t.reply) then return "gone" end
  elseif not world.rest(call, THINKS_OF_IT_MS) then
    return "gone"
  end
  t.history:add(t.keys and "(presses " .. t.keys .. ")" or t.text, t.steps, t.reply or "", true)
  t.why = t.why or t.leave or t.filled and "filled" or t.turns >= options.limit.turns and "limit" or nil
  t.phase = "listens"
end

function phases.answers(call, t, options, world)
  local step = not t.why and call.caller:ai_step(t.leave ~= nil) or nil
  if not step and not t.why and not t.leave and t.slots and options.slots[t.slots.at] then
    local answer
    answer, t.slots = slots.answer(options.slots, t.slots, t, function(said) return without_model.closed(said, options.language or "en") end, says_of(options))
    t.reply, t.leave, t.why = answer.say, answer.leave, answer.human
  end
  if not step then return end_turn(call, t, options, world) end
  if step.tool then
    return nil, use(call, t, options, step, world)
  elseif step.unclear then
    local enough
    t.misses, enough = escalation.missed(t.misses, false)
    t.reply, t.why = says_of(options).unclear, enough and "not_understood" or nil
  else
    t.misses, t.reply = 0, step.say
  end
  if t.slots then
    local is_over
    t.slots, is_over = slots.turned(options.slots, t.slots)
    t.filled = t.filled or is_over
  end
  return end_turn(call, t, options, world)
end

-- What the script gave.
local function take(call, t, told)
  local asked = t.asked
  t.asked = nil
  if told.broke then broke(call, told.broke) end
  if asked == "rule" then
    if told.value == true or type(told.value) == "string" and told.value ~= "" then
      t.why, t.reason = "rule", type(told.value) == "string" and told.value or nil
    end
    return
  end
  local result, err = own_tools.result(told)
  note(call, t, asked, result and result.result, err and (told.broke or err.text))
  if err and err.code ~= "invalid" then t.why = "tool_failed" end
end

local function begin(call, options, world)
  local asked = options.slots and options.slots[1]
  if not world.prompt(call, (options.greeting or says_of(options).greeting) .. (asked and " " .. asked.prompt or "")) then return nil end
  return { slots = asked and slots.new(), phase = "listens", turns = 0, silences = 0, misses = 0, temper = 0, last = 0, steps = {}, history = history.new(), began = call.now_ms,
    over_at = call.now_ms + options.limit.seconds * 1000 }
end

local function result_of(t)
  local word = t.mood and sentiment.word(t.mood) or "neutral"
  return { lead = t.lead, wants_human = HUMAN[t.why] or false, why = t.why, reason = t.reason, turns = t.turns, slots = t.slots and t.slots.values, sentiment = word,
    summary = summary.short(t.history, { why = t.why, reason = t.reason, sentiment = word, lead = t.lead and t.lead.id }) }
end

--- The verb's result, or { ask = question to the script }; nil when the caller has gone.
--- @param options table    of the verb
--- @param told table|nil   what the script gave to the last question
--- @param world table      { prompt(call, text), hear(call, text), rest(call, ms): each false when he has gone; create_lead: the verb }
function talk.play(call, options, told, world)
  local t = told and call.talking
  if t then
    take(call, t, told)
  else
    t = begin(call, options, world)
    if not t then return nil end
    call.talking = t
  end
  while not (t.why and t.phase == "listens") do
    local gone, question = phases[t.phase](call, t, options, world)
    if gone then return nil end
    if question then return question end
  end
  call.talking = nil
  return result_of(t)
end

return talk
