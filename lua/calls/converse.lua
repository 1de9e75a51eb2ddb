-- SPDX-License-Identifier: Apache-2.0
--- call:converse: a conversation (calls.talk) with this worker's clock, recognisers, synthesisers and models, kept in the verb's journal entry
--- so that whoever takes the call up goes on after its last finished turn.
---
--- No key is needed: the local recogniser and synthesiser are always the last in the order, and the knowledge base answers without a model.
local ai = require "ai"
local answerer = require "ai.local"
local cards = require "calls.cards"
local clock = require "core.clock"
local kb = require "kb"
local log = require "core.log"
local metrics = require "core.metrics"
local providers = require "ai.providers"
local redact = require "ai.guard.redact"
local speech = require "speech"
local talk = require "calls.talk"
local task = require "core.task"
local timer = require "core.timer"
local transcript = require "calls.transcript"

local converse = {}

local RATE = 8000
local LINE_MS = 10      -- no conversation has a line in less
local MODELS_MS = 5000  -- how long is known whether there is a model

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

-- What is kept of it, without cards' numbers: also of those that the caller said word by word, over several turns.
local function without_cards(kept)
  local turns, texts = kept.history and kept.history.turns or {}, {}
  for i, turn in ipairs(turns) do texts[i] = turn.user or "" end
  for i, text in ipairs(redact.cards_said(texts)) do
    if turns[i].user then turns[i].user = text end
  end
  return redact.cards_in(kept)
end

-- Writes what a successor needs, the newest only, one write after the other: into the visit in which it talks, as long as that is the call's.
local function keeper(call, entry, n)
  local writing, due, visit = false, false, call.visit
  local function is_over() return entry.done or call.frozen or call.gone_why or call.visit ~= visit end
  local function write()
    while due and not is_over() do
      due = false
      call:keep{ [("j%d.%d"):format(visit, n)] = entry, digits = call:digits_kept() }
    end
  end
  return function(kept, keys_used)
    for _ = 1, keys_used do call:take_digit() end
    entry.more = without_cards(kept)
    if not n then return end
    due = true
    if writing then return end
    writing = true
    task.spawn(function()
      local ok, err = pcall(write)
      writing = false
      if not ok then log.error("converse.not_kept", { call = call.id, text = tostring(err) }) end
    end)
  end
end

local function world_of(call, voice, keep, over)
  local from_start_ms = (clock.wall_us() - (call.started_us or clock.wall_us())) / 1000
  local headings = kb.headings(call.tenant, call.hash) or {}
  return {
    now = clock.mono_ms, after = timer.after, chat = ai.chat, has_model = model_of(call.tenant), answer = answer_of(call), headings = headings,
    is_live = voice.is_live, keep = keep, over = over,
    -- Where its lines are numbered from: behind those of the conversations that the call had before, in whichever worker.
    first_line = math.floor(from_start_ms / LINE_MS),
    say = function(text, kept)
      cards.says(call, text)
      return voice.say({ text = text, rate = RATE }, kept and not cards.is_in(text))
    end,
    open_ears = voice.open, noticed = function(kind, fields) cards.noticed(call, kind, fields) end,
    transcript = function(line)
      if line.party == "agent" then cards.said(call) end
      line.began_ms, line.ended_ms = line.began_ms + math.floor(from_start_ms), line.ended_ms + math.floor(from_start_ms)
      transcript.add(call, line)
    end,
  }
end

local REASONS = { gone = "the caller has hung up", frozen = "the call moves to another worker", cut = "a human was asked for" }

local function left(kind) return nil, { code = kind, text = REASONS[kind] } end

--- The verb: its result; or nil, err.
--- @param args table   of the gate, with their defaults
--- @param entry table  of the journal; entry.more is what a predecessor kept
function converse.run(call, args, entry, n)
  local keep = keeper(call, entry, n)
  local leg, err = call:sound()
  if not leg then return nil, err end
  pcall(providers.models, call.tenant)  -- read once, so that nobody has to wait for it in the midst of a turn
  local scope = { purpose = "call", call_row = call.row_id, call_id = call.id, trace = call.trace and { id = call.trace } }
  local voice = speech.conversation(call.tenant, scope, args.language)
  args = setmetatable({ language = voice.language }, { __index = args })
  local result
  local world = world_of(call, voice, keep, function(found)
    result = found
    call:happen("talked")
  end)
  -- Providers and knowledge base may have been waited for.
  if call.frozen then return left("frozen") end
  if not call.leg then return left("gone") end
  if call.cutting then return left("cut") end
  local conversation = talk.new{
    call = call, args = args, kept = entry.more, key = entry.key or ("%s:%d:%d"):format(call.id, call.visit, n or 0), world = world,
  }
  call.talk = conversation
  local ok, kind
  local whole, broke = pcall(function()
    ok, err = conversation:begin(call.digits)
    while ok and not result do
      kind = call:await({ talked = true })
      if REASONS[kind] then return end
    end
  end)
  conversation:close(kind == "frozen")
  call.talk = nil
  cards.talked(call)
  if not whole then error(broke, 0) end
  if not ok then return nil, { code = "failed", text = err.text } end
  if not result then return left(kind) end
  entry.more = nil
  local why = result.failed and "failed" or result.why
  metrics.count("conversations_total", { why = why }, 1, "conversations with callers, by what ended them")
  log.info("call.conversed", { call = call.id, why = why, turns = result.turns, wants_human = result.wants_human })
  if result.failed then return nil, { code = "failed", text = result.failed } end
  if result.lead then call.lead = result.lead.id end
  return { lead = result.lead, wants_human = result.wants_human, why = result.why, turns = result.turns }
end

return converse
