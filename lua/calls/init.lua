-- SPDX-License-Identifier: Apache-2.0
--- Calls: the phone side of Parley. What the rest may call.
local driver = require "calls.driver"
local entry = require "calls.entry"
local ids = require "lib.ids"
local json = require "core.json"
local pii = require "lib.pii"
local roster = require "calls.roster"
local store = require "calls.store"
local summaries = require "calls.summaries"
local time = require "lib.time"

local calls = {}

--- Places a call: its public id at once, or nil, err. What becomes of it is told by its row and its events.
calls.place = entry.place

--- Asks for a human: what runs is left for the flow's fallback. true | nil, err
function calls.escalate(id) return driver.tell(id, "escalate") end

function calls.hangup(id) return driver.tell(id, "hangup") end

calls.count = roster.count

-- One that a worker of an older version has written in clear is not shown.
local function failure_of(tenant, row)
  local ok, text = pcall(pii.open, tenant, "call.failure", row.failure)
  return ok and text or nil
end

--- A row as the API shows it.
function calls.view(tenant, row, whole)
  local other = row.phone_number and pii.open(tenant, "call.phone_number", row.phone_number)
  local view = {
    id = row.public_id, callId = row.public_id, direction = row.direction, status = row.status, state = row.state, outcome = row.outcome,
    from = row.direction == "inbound" and other or row.our_number, to = row.direction == "inbound" and row.our_number or other,
    startTime = time.rfc3339(row.start_time), answerTime = time.rfc3339(row.answer_time), endTime = time.rfc3339(row.end_time),
    durationSeconds = row.duration_seconds, hangupCause = row.hangup_cause, hangupBy = row.hangup_by, failure = failure_of(tenant, row),
    agentId = row.agent_id and ids.encode("us", row.agent_id), flow = row.flow, version = row.bundle_hash,
  }
  if not whole then return view end
  local timeline = row.timeline and json.decode(pii.open(tenant, "call.timeline", row.timeline))
  local live = roster.find(row.public_id)
  view.states = timeline and timeline.states or (live and json.array(live.states)) or json.array{}
  view.takenUp = timeline and timeline.takenUp or (live and json.array(live.taken_up)) or json.array{}
  view.quality = timeline and timeline.quality
  view.recordings = json.array{}
  for i, recording in ipairs(store.recordings(tenant.db, row.id)) do
    view.recordings[i] = { id = recording.public_id, kind = recording.kind, state = recording.state, seconds = (recording.duration_ms or 0) / 1000,
      startTime = time.rfc3339(recording.started_at) }
  end
  local lead = store.lead_of(tenant.db, row.id)
  view.lead = lead and ids.encode("ld", lead.id)
  view.summary, view.sentiment = summaries.of(tenant, row), row.sentiment
  return view
end

--- For the worker: registers with telephony.
calls.start = driver.start

return calls
