-- SPDX-License-Identifier: Apache-2.0
--- What was said in a call, and what a tenant wants kept of its calls: GET /calls/{callId}/transcript, /calls/policy.
local audit = require "audit"
local fault = require "core.fault"
local ids = require "lib.ids"
local json = require "core.json"
local keeping = require "calls.keeping"
local problem = require "lib.problem"
local router = require "lib.router"
local schema = require "lib.schema"
local store = require "calls.store"
local transcript = require "calls.transcript"

local routes = {}

local utterance = schema.object{
  n = { type = "integer" }, speaker = { type = "string", enum = { "caller", "ai", "agent" } }, text = { type = "string" },
  beganMs = { type = "integer", description = "since the call began" }, endedMs = { type = "integer" }, at = { type = "string", format = "date-time" },
  interrupted = { type = "boolean", description = "the caller spoke over it: text is what was heard" },
  sentiment = { type = "string", enum = { "positive", "neutral", "negative" } }, confidence = { type = "number" },
  timeline = { type = "object", additionalProperties = true, description = "the stages of the turn, in ms; turn: its number in its conversation, 0 where nobody was answered" },
}

-- Agents read what was said in calls of their own; whose a call is, its row says.
local function may_read(ctx, row)
  return ctx.user.role ~= "agent" or row.agent_id ~= nil and ids.encode("us", row.agent_id) == ctx.user.id
end

local function read(ctx)
  local row = store.by_public_id(ctx.tenant.db, ctx.params.callId)
  if not row then return problem.new(404, "call_not_found", "There is no such call. GET /calls lists them.") end
  if not may_read(ctx, row) then
    return problem.new(403, "not_your_call", "The call is not one of yours. A supervisor can read what was said in it.")
  end
  local list = transcript.of(ctx.tenant, row.id)
  audit.transaction(ctx.tenant, function(tx)
    audit.record(tx, { actor = ctx:actor(), action = "call.transcript_read", subject = row.public_id, trace = ctx.trace.id })
    return true
  end)
  if ctx.query.as == "text" then return 200, transcript.text(list), { ["Content-Type"] = "text/plain; charset=utf-8" } end
  return 200, { id = row.public_id, ended = row.end_time ~= nil, utterances = list }
end

local mask_schema = schema.object({
  name = { type = "string", minLength = 1, maxLength = 20, description = "what stands in its place, in brackets: capital letters and _" },
  form = { type = "string", minLength = 4, maxLength = 40, description = "# a digit, @ a letter, * either; all else itself: AC-######" },
}, { "name", "form" })

local days = { type = "integer", minimum = 1, maximum = keeping.MAX_DAYS }
local policy_fields = {
  recording = { type = "string", enum = { "flow", "off", "on", "announce" },
    description = "flow: what scripts ask for; off: no call; on: each call whole; announce: whole, once the announcement has been heard" },
  announcement = { type = "string", minLength = 1, maxLength = 500, nullable = true, description = "said before the recording begins; null: " .. keeping.ANNOUNCEMENT },
  recordingDays = days, transcriptDays = days, masks = { type = "array", maxItems = 20, items = mask_schema },
}

local function shown(settings)
  return { recording = settings.recording, announcement = settings.announcement or json.null, recordingDays = settings.recordingDays,
    transcriptDays = settings.transcriptDays, masks = settings.masks }
end

local function policy(ctx) return 200, shown(keeping.read(ctx.tenant)) end

local function set_policy(ctx)
  local pointer, why = keeping.fault(ctx.body)
  if pointer then
    return problem.new(422, "invalid_body", ("A value is not valid: %s: %s."):format(pointer, why), { errors = { { pointer = "#" .. pointer, detail = why } } })
  end
  local changed
  local status, answer, headers = ctx:transaction(function(tx)
    changed = keeping.read(ctx.tenant, tx)
    for name in pairs(policy_fields) do
      if ctx.body[name] ~= nil then changed[name] = ctx.body[name] end
    end
    if changed.announcement == json.null then changed.announcement = nil end
    keeping.set(tx, changed)
    fault.point("keeping.set")
    -- The announcement and the forms are a tenant's own words, and may be of persons.
    audit.record(tx, { actor = ctx:actor(), action = "call.policy", trace = ctx.trace.id,
      fields = { recording = changed.recording, recordingDays = changed.recordingDays, transcriptDays = changed.transcriptDays, masks = #changed.masks } })
    return 200, shown(changed)
  end)
  fault.point("keeping.committed")
  if changed then keeping.moved(ctx.tenant) end
  return status, answer, headers
end

--- Declares the routes.
function routes.register()
  router.add{ method = "GET", path = "/calls/{callId}/transcript", summary = "What was said in a call, by whom and when; agents: of their own calls",
    roles = { "admin", "supervisor", "agent" }, query = { as = { type = "string", enum = { "json", "text" }, default = "json" } }, handler = read,
    response = schema.object{ id = { type = "string" }, ended = { type = "boolean" }, utterances = { type = "array", items = utterance } } }
  router.add{ method = "GET", path = "/calls/policy", summary = "Which calls are recorded, for how long recordings and transcripts are kept, what is masked",
    roles = { "admin", "supervisor" }, response = schema.object(policy_fields), handler = policy }
  router.add{ method = "PATCH", path = "/calls/policy", summary = "Change it; what is left out stays. It holds for calls that begin",
    roles = { "admin" }, body = schema.object(policy_fields), response = schema.object(policy_fields), handler = set_policy }
end

return routes
