-- SPDX-License-Identifier: Apache-2.0
--- Answers that their passages do not bear out wait here for a person, who says what they were. A public id is "rv_...".
---
--- A review as a table: { row, id, call_id = row | nil, external_ref, question, answer, passages = list of { id, text }, findings = list of
---   { text, why, share }, status = "open" | "hallucination" | "correct", note, settled_by, settled_at, version, created_at }
local audit = require "audit"
local clock = require "core.clock"
local ids = require "lib.ids"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local pii = require "lib.pii"
local problem = require "lib.problem"
local store = require "ai.reviews.store"
local text_of = require "lib.text"
local time = require "lib.time"

local reviews = {}

local MOST_WAITING = 1000           -- of a tenant: more than anybody reads
local A_MINUTE = 30                 -- of a tenant in a worker
local ANSWER_BYTES, PASSAGE_BYTES = 32 * 1024, 4000

local minutes = {}  -- tenant id -> { began_ms, count, full_until_ms }

-- A model that makes everything up must not fill the database.
local function may_add(tenant)
  local now = clock.mono_ms()
  local minute = minutes[tenant.id]
  if not minute or now - minute.began_ms >= 60000 then
    minute = { began_ms = now, count = 0, full = false }
    minutes[tenant.id] = minute
    minute.full = store.waiting(tenant.db, MOST_WAITING) >= MOST_WAITING
  end
  minute.count = minute.count + 1
  return not minute.full and minute.count <= A_MINUTE
end

local function sealed(tenant, review)
  local passages, findings = json.array{}, json.array{}
  for i, passage in ipairs(review.passages or {}) do
    if i > 8 then break end
    passages[i] = { id = passage.id, text = text_of.clean(passage.text, PASSAGE_BYTES) }
  end
  for i, finding in ipairs(review.unsupported or {}) do
    if i > 20 then break end
    findings[i] = { text = text_of.clean(finding.text, 1000), why = finding.why, share = finding.share }
  end
  return {
    question = review.question and pii.seal(tenant, "review.question", text_of.clean(review.question, PASSAGE_BYTES)),
    answer = pii.seal(tenant, "review.answer", text_of.clean(review.answer, ANSWER_BYTES)),
    passages = pii.seal(tenant, "review.passages", json.encode(passages)), findings = pii.seal(tenant, "review.findings", json.encode(findings)),
    external_ref = review.external_ref and text_of.clean(review.external_ref, 128), at = time.now(),
  }
end

--- Puts an answer into the queue. Never raises: what cannot be kept is logged, without its text.
--- @param review table  { question, answer, passages, unsupported = list of { text, why, share }, call_id = public id or row, external_ref }
--- @return boolean  whether it was kept
function reviews.add(tenant, review)
  local ok, kept = pcall(function()
    if not may_add(tenant) then return false end
    local row = sealed(tenant, review)
    row.call_id = type(review.call_id) == "number" and review.call_id or review.call_id and store.call_row(tenant.db, review.call_id)
    store.insert(tenant.db, row)
    return true
  end)
  if not ok then log.warn("ai.review_not_kept", { tenant = tenant.slug, text = tostring(kept) }) end
  return ok and kept
end

local function opened(tenant, r)
  return {
    row = r.id, id = ids.encode("rv", r.id), call_id = r.call_id, external_ref = r.external_ref, question = pii.open(tenant, "review.question", r.question),
    answer = pii.open(tenant, "review.answer", r.answer), passages = json.decode(pii.open(tenant, "review.passages", r.passages)),
    findings = json.decode(pii.open(tenant, "review.findings", r.findings)), status = r.status, note = pii.open(tenant, "review.note", r.note),
    settled_by = r.settled_by, settled_at = time.rfc3339(r.settled_at), version = r.version, created_at = time.rfc3339(r.created_at),
  }
end

--- The newest first.
--- @param before number|nil  row of the last one of the page before
function reviews.list(tenant, status, before, limit)
  local list = {}
  for i, row in ipairs(store.list(tenant.db, status, before, limit)) do list[i] = opened(tenant, row) end
  return list
end

--- nil: there is none with this id.
function reviews.get(tenant, id)
  local row = ids.decode("rv", id)
  local found = row and store.get(tenant.db, row)
  return found and opened(tenant, found) or nil
end

--- A person has decided. Deciding anew is allowed; the audit has each. Raises problems.
--- @param verdict string  "hallucination" or "correct"
--- @param options table  { actor =, trace = }
function reviews.settle(tenant, tx, id, verdict, note, options)
  local row = ids.decode("rv", id)
  local held = row and store.hold(tx, row)
  if not held then problem.raise(404, "review_not_found", "There is no such review. GET /ai/reviews lists them.") end
  store.settle(tx, row, verdict, note and pii.seal(tenant, "review.note", note), options.actor, time.now())
  audit.record(tx, { actor = options.actor, action = "ai.review", subject = id, fields = { verdict = verdict }, trace = options.trace })
  audit.event(tx, { type = "ai.review.settled", subject = id, data = { verdict = verdict }, trace = options.trace })
  metrics.count("ai_reviews_settled_total", { verdict = verdict }, 1, "answers that a person has judged")
  local after = store.hold(tx, row)
  return opened(tenant, after)
end

return reviews
