-- SPDX-License-Identifier: Apache-2.0
--- What is kept of a conversation besides its transcript: a summary and the caller's sentiment, with the call. Personal values are masked as in
--- transcripts, and it goes when transcripts go. The call's lead has no text of it, only the call's id: who reads it there and for how long is as with
--- the call.
---
--- The short one is written at once, so that whoever takes the call over has it; where there is a model its own follows, and nobody waits.
local audit = require "audit"
local clock = require "core.clock"
local keeping = require "calls.keeping"
local leads = require "leads"
local log = require "core.log"
local pii = require "lib.pii"
local redact = require "ai.guard.redact"
local store = require "calls.store"
local summary = require "calls.talk.summary"
local task = require "core.task"
local time = require "lib.time"

local summaries = {}

local counts = setmetatable({}, { __mode = "k" })  -- call -> its conversations of which something was kept

local KNOWN_WITHIN_MS = 500  -- a caller waits
local SCORES = { positive = 1, neutral = 0, negative = -1 }

local function put_on_call(call, text, sentiment)
  call:change({ summary = text and pii.seal(call.tenant, "call.summary", text), summary_at = text and time.sql(clock.wall_us()), sentiment = sentiment },
    { type = "call.summarised", data = { sentiment = sentiment } })
end

-- Beside what else stands in the lead's data: the call that has the summary.
local function put_on_lead(call, id, sentiment)
  local lead = leads.get(call.tenant, id)
  if not lead then return end
  local data = {}
  for name, value in pairs(lead.data or {}) do data[name] = value end
  data.call, data.sentiment = call.id, SCORES[sentiment]
  audit.transaction(call.tenant, function(tx)
    if not store.hold(tx, call.row_id, call.fence) then return false end
    return leads.update(call.tenant, tx, id, { data = data }, nil, { actor = "flow", trace = call.trace })
  end)
end

local function write(call, given, settings, text)
  put_on_call(call, text and redact.alone(text, { forms = settings.masks }), given.sentiment)
end

-- @param n number  which of the call's it is, from 1; what a model says late of one before is not kept
local function keep(call, given, n)
  local settings = keeping.of(call.tenant)
  if not given.summary and not given.sentiment then return end
  write(call, given, settings, given.summary)
  if given.lead then put_on_lead(call, given.lead, given.sentiment) end
  keeping.expect(call.tenant)
  if not given.ask or not given.summary then return end
  local answer = given.ask()
  local better = answer and answer.degraded == nil and summary.of_answer(answer.text)
  if better and counts[call] == n then write(call, given, settings, better) end
end

--- Keeps them. Returns at once, never fails.
--- @param given table  { summary = text | nil, sentiment, lead = public id | nil, ask = function() -> answer of ai.chat | nil; may wait }
function summaries.keep(call, given)
  local n = (counts[call] or 0) + 1
  counts[call] = n
  task.spawn(function()
    local ok, err = pcall(keep, call, given, n)
    if not ok then log.warn("call.not_summarised", { call = call.id, text = tostring(err) }) end
  end)
end

--- A text as scripts are given it, who may write it where they like: masked as it is with the call. nil where it is not known in time what the tenant
--- wants masked. May wait.
function summaries.masked(call, text)
  local settings = text and keeping.soon(call.tenant, KNOWN_WITHIN_MS)
  if not settings then return nil end
  return (redact.alone(text, { forms = settings.masks }))
end

--- The text of a call's row; nil when there is none.
function summaries.of(tenant, row) return pii.open(tenant, "call.summary", row.summary) end

return summaries
