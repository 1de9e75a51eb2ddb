-- SPDX-License-Identifier: Apache-2.0
--- What a conversation was about, in a few lines, for whoever takes the call over, calls back, or reads about it later.
---
--- summary.short is there at once and without a model: the caller's own words, what was done, how it ended. summary.request asks a model for
--- a better one, when the conversation is over and nobody waits for it.
local history_of = require "calls.talk.history"
local marks = require "calls.talk.marks"
local redact = require "ai.guard.redact"
local sentiment = require "calls.talk.sentiment"
local text_of = require "lib.text"

local summary = {}

summary.MOST = 1500        -- bytes
local SAID, SAID_BYTES = 4, 160
local TURNS_TOLD, TURN_BYTES = 60, 400

local ENDS = {
  asked_for = "The caller asked for a human", transfer = "The caller was put through", not_understood = "The caller was not understood",
  tool_failed = "Something did not work on our side", no_answer = "We had no answer", anger = "The caller was angry", rule = "The script's rule put the caller through",
  silence = "The caller was silent", limit = "They talked until the limit",
}

-- Which utterances say most: the first, the last, and the longest between, in their order.
local function chosen(list)
  if #list <= SAID then return list end
  local between = {}
  for i = 2, #list - 1 do between[#between + 1] = i end
  table.sort(between, function(a, b)
    if #list[a] ~= #list[b] then return #list[a] > #list[b] end
    return a < b
  end)
  local places = { 1, #list }
  for i = 1, SAID - 2 do places[#places + 1] = between[i] end
  table.sort(places)
  local out = {}
  for i, at in ipairs(places) do out[i] = list[at] end
  return out
end

-- The caller's own words, without personal values, also where one was told over several turns.
local function said_in(history)
  local list, done, before, reply = {}, {}, {}, nil
  for _, line in ipairs(history.earlier) do
    local words, rest = line:match("^(.-)( %[[%w_, ]+%])$")
    list[#list + 1] = words or line
    done[#list] = rest
  end
  for _, turn in ipairs(history.turns) do
    if turn.user and turn.user:find("%w") then
      list[#list + 1] = turn.user
      before[#list] = reply
    end
    reply = turn.reply
  end
  list = redact.said(list, before)
  for i, text in ipairs(list) do list[i] = done[i] and text .. done[i] or text_of.cut(text, i > #history.earlier and SAID_BYTES or #text) end
  return list
end

local function done_in(history)
  local list, seen = {}, {}
  for _, turn in ipairs(history.turns) do
    for _, name in ipairs(history_of.done(turn)) do
      if not seen[name] and name ~= "lookup_kb" and name ~= "transfer" and name ~= "hangup" then
        seen[name] = true
        list[#list + 1] = name
      end
    end
  end
  return list
end

--- @param history table  of calls.talk.history
--- Personal values are masked, as far as they are no tenant's own.
--- @param about table    { why, reason, sentiment, lead = id | nil }
--- @return string|nil    nil when nothing was said
function summary.short(history, about)
  local said, done, lines = said_in(history), done_in(history), {}
  if #said == 0 and #done == 0 then return nil end
  for _, text in ipairs(chosen(said)) do lines[#lines + 1] = '"' .. text .. '"' end
  local text = #lines > 0 and "The caller said: " .. table.concat(lines, " ") or "The caller said nothing."
  if #done > 0 then text = text .. "\nDone: " .. table.concat(done, ", ") .. "." end
  if about.lead then text = text .. "\nLead: " .. about.lead .. "." end
  if ENDS[about.why] then text = text .. "\n" .. ENDS[about.why] .. (about.reason and ": " .. about.reason or "") .. "." end
  if about.sentiment and about.sentiment ~= "neutral" then text = text .. "\nOn the whole the caller sounded " .. about.sentiment .. "." end
  return text_of.cut(text, summary.MOST)
end

local RULE = "Sum up this telephone call for the human who takes it over or calls back: who called, what he wants, what was done and promised, what is still open. "
  .. "At most four short sentences of plain text, in the language of the call. Add nothing that was not said."

--- What a model is asked for one: of ai.chat.
--- @param earlier string  of summary.short
function summary.request(history, earlier)
  local lines, first = {}, math.max(1, #history.turns - TURNS_TOLD + 1)
  for _, line in ipairs(history.earlier) do lines[#lines + 1] = "Caller: " .. line end
  for i = first, #history.turns do
    local turn = history.turns[i]
    if turn.user then lines[#lines + 1] = "Caller: " .. redact.cut(turn.user, TURN_BYTES) end
    for _, name in ipairs(history_of.done(turn)) do lines[#lines + 1] = "[" .. name .. "]" end
    if turn.reply then lines[#lines + 1] = "We: " .. redact.cut(turn.reply, TURN_BYTES) end
  end
  return { system = RULE, messages = { { role = "user", text = table.concat(lines, "\n") .. "\n\nIn short:\n" .. earlier } }, max_tokens = 250 }
end

--- A model's answer as it is kept, or nil.
function summary.of_answer(text)
  local reader = marks.reader(function() end)
  text = reader:feed(text or "") .. reader:finish()
  text = text:match("^%s*(.-)%s*$")
  return text ~= "" and text_of.clean(text, summary.MOST) or nil
end

--- What is told of a conversation besides how it ended, once it is over: { turns, lead, slots, reason, sentiment, summary, ask_summary }.
--- @param talk table      { call, world = { chat, has_model }, lead, slots, desk, rule, mood }
--- @param said table      its history, as it is kept
--- @param why string|nil  how it ended; nil: the caller has gone
function summary.about(talk, said, turns, why)
  local world, call, lead = talk.world, talk.call, talk.lead
  local about = { turns = turns, lead = lead, slots = talk.slots and talk.desk.slots.values, reason = why == "rule" and talk.rule and talk.rule.reason or nil,
    sentiment = talk.mood and sentiment.word(talk.mood) or "neutral" }
  about.summary = summary.short(said, { why = why, reason = about.reason, sentiment = about.sentiment, lead = lead and lead.id })
  if about.summary then
    about.ask_summary = function()
      if not world.has_model() then return nil end
      return world.chat(call.tenant, summary.request(said, about.summary), { purpose = "call", call_id = call.id, call_row = call.row_id,
        trace = call.trace and { id = call.trace } or nil, bundle = call.hash })
    end
  end
  return about
end

return summary
