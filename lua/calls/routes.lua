-- SPDX-License-Identifier: Apache-2.0
--- /calls as in the Call Handler API of the requirements, recordings, trunks and numbers, and the WebSocket /ws/calls.
local audit = require "audit"
local calls = require "calls"
local campaigns = require "campaigns"
local cursor = require "lib.cursor"
local db = require "lib.db"
local downloads = require "calls.downloads"
local hooks = require "scripts.hooks"
local journals = require "calls.journals"
local json = require "core.json"
local keeping_routes = require "calls.keeping_routes"
local live = require "calls.live"
local nodes = require "nodes"
local pii = require "lib.pii"
local pointer_routes = require "scripts.pointer_routes"
local problem = require "lib.problem"
local quality_routes = require "calls.quality_routes"
local recordings = require "calls.recordings"
local replay = require "flow.replay"
local router = require "lib.router"
local schema = require "lib.schema"
local scripts = require "scripts"
local store = require "calls.store"
local stream = require "audit.stream"
local tenants = require "tenants"
local trunks = require "calls.trunks"

local routes = {}

local everyone = { "admin", "supervisor", "agent", "platform" }
local tenant_id = { type = "string", maxLength = 63 }
local call_schema = { type = "object", additionalProperties = true, properties = { id = { type = "string" }, status = { type = "string" } } }

local function not_found()
  return problem.new(404, "call_not_found", "There is no such call. GET /calls lists them.")
end

local function place(ctx)
  local first, first_body, first_headers = ctx:first_answer()
  if first then return first, first_body, first_headers end  -- before anybody is asked whether it may be
  local body = ctx.body
  local number = body.phoneNumber
  if not number:match("^%+?[%d%s%-%(%)%./]+$") or not number:match("%d") then
    problem.raise(422, "invalid_body", "A value is not valid: /phoneNumber must be a phone number such as +12025550123.",
      { errors = { { pointer = "/phoneNumber", detail = "must be a phone number such as +12025550123" } } })
  end
  if not nodes.any() then
    return problem.new(503, "no_line", "This installation has no telephony node; name one in telephony.nodes of its configuration, or add one: parley node add.")
  end
  -- An unknown campaign does not stop a call: the number was meant to be rung.
  local campaign = body.campaignId and campaigns.find(ctx.tenant, body.campaignId)
  local contact = campaign and hooks.call(ctx.tenant, "may_contact", { number = number, campaign = { id = campaigns.public_id(campaign.id),
    code = campaign.code, name = campaign.name, platform = campaign.platform, status = campaign.status } })
  if contact and not contact.allowed then
    return problem.new(409, "not_now", ("The campaign's script does not let this number be rung now%s."):format(contact.reason and ": " .. contact.reason or ""))
  end
  local status, answer, headers
  local _, err = calls.place(ctx.tenant, {
    to = number, campaign_id = campaign and campaign.id, flow = body.flow, trace = ctx.trace.id,
    created_by = ctx.user.id:sub(1, 3) == "us_" and ctx.user.row or nil,
    transaction = function(write, id)
      status, answer, headers = ctx:transaction(function(tx)
        write(tx)
        return 201, { callId = id, id = id, status = "ringing", tenantId = ctx.tenant.slug }, { Location = "/calls/" .. id }
      end)
    end,
  })
  if not status then
    return problem.new(503, "no_line", "The call could not be placed: " .. err.text .. ". Try again in a moment.", { headers = { ["Retry-After"] = "2" } })
  end
  return status, answer, headers
end

local function list(ctx)
  local q = ctx.query
  local before = q.cursor and cursor.decode("calls", q.cursor, 1)
  local number = q.phone and trunks.parse(ctx.tenant, q.phone)
  -- What is up now is asked where it is written.
  local rows = store.list(q.active and ctx.tenant.db or db.lagging(ctx.tenant.db), { status = q.status, active = q.active,
    phone_hash = q.phone and pii.hash(ctx.tenant, "phone", number and number.e164 or q.phone) }, before, q.limit + 1)
  local out = json.array{}
  for i = 1, math.min(#rows, q.limit) do out[i] = calls.view(ctx.tenant, rows[i]) end
  return 200, { calls = out, next = #rows > q.limit and cursor.encode("calls", rows[q.limit].id) or json.null }
end

local function read(ctx)
  local row = store.by_public_id(ctx.tenant.db, ctx.params.callId)
  if not row then return not_found() end
  local view = calls.view(ctx.tenant, row, true)
  if ctx.user.role == "agent" and view.agentId ~= ctx.user.id then view.summary = nil end  -- as the transcript
  return 200, view
end

local function act(what, action)
  return function(ctx)
    local status, answer, headers = ctx:first_answer()
    if status then return status, answer, headers end
    local row = store.by_public_id(ctx.tenant.db, ctx.params.callId)
    if not row then return not_found() end
    if row.end_time then return problem.new(409, "call_ended", "The call has ended.") end
    local ok, err = action(row.public_id)
    if not ok then
      if err.code == "gone" or err.code == "exists" then return problem.new(409, "call_" .. err.code, "It could not be done: " .. err.text .. ".") end
      return problem.new(503, "call_unreachable", "It could not be done: " .. err.text .. ". Try again in a moment.")
    end
    return ctx:transaction(function(tx)
      audit.record(tx, { actor = ctx:actor(), action = "call." .. what, subject = row.public_id, trace = ctx.trace.id })
      return 202, { id = row.public_id, status = what == "escalate" and "escalated" or row.status }
    end)
  end
end

local function journal_of(ctx)
  local row = store.by_public_id(ctx.tenant.db, ctx.params.callId)
  if not row then problem.raise(404, "call_not_found", "There is no such call. GET /calls lists them.") end
  local recorded = journals.read(ctx.tenant, row.id)
  if not recorded then
    problem.raise(409, "no_journal", row.end_time and "This call has no journal: its flow never ran, or it is not kept any longer (GET /calls/journals)."
      or "The call is up. Its journal can be read when it has ended.")
  end
  return row, recorded
end

-- Whoever reads a journal reads what the caller said.
local function note_reading(ctx, action, row, fields)
  audit.transaction(ctx.tenant, function(tx)
    audit.record(tx, { actor = ctx:actor(), action = action, subject = row.public_id, fields = fields, trace = ctx.trace.id })
    return true
  end)
end

local function read_journal(ctx)
  local row, recorded = journal_of(ctx)
  note_reading(ctx, "call.journal_read", row)
  local shown = replay.list(recorded)
  shown.id = row.public_id
  return 200, shown
end

local function run_again(ctx)
  local row, recorded = journal_of(ctx)
  local version, err = recorded.hash
  if ctx.body.version then
    version, err = scripts.named(ctx.tenant, ctx.body.version)
    if not version then return problem.new(404, "version_not_found", "The call cannot be run again: " .. err.text .. ".") end
  end
  local report = scripts.report(ctx.tenant, version)
  if not report then
    return problem.new(409, "no_such_version", ("Version %s, which this call ran, is not stored any more; name another."):format(version:sub(1, 12)))
  end
  if not report.flows[recorded.file] then
    return problem.new(409, "no_such_flow", ("Version %s has no flow %s, which this call ran."):format(version:sub(1, 12), recorded.file))
  end
  note_reading(ctx, "call.replayed", row, { version = version })
  local result
  result, err = replay.run(ctx.tenant, recorded, version, (report.bundle or {}).permissions)
  if not result and (err.code == "busy" or err.code == "too_many") then return pointer_routes.refusal(err) end
  if not result then
    return problem.new(503, "cells_unavailable", "The call could not be run again right now (" .. err.text .. "). Try again in a moment.")
  end
  result.id = row.public_id
  return 200, result
end

local function journal_days(ctx) return 200, { days = journals.days(ctx.tenant) } end

local function set_journal_days(ctx)
  local status, answer, headers = ctx:transaction(function(tx)
    journals.set_days(tx, ctx.body.days)
    audit.record(tx, { actor = ctx:actor(), action = "call.journals", fields = { days = ctx.body.days }, trace = ctx.trace.id })
    return 200, { days = ctx.body.days }
  end)
  journals.moved(ctx.tenant)
  return status, answer, headers
end

-- What is asked for: by the query, else by what the client takes.
local function recording_format(ctx)
  if ctx.query.format then return ctx.query.format end
  local accept = (ctx.request.headers.accept or ""):lower()
  local takes_wav = accept:find("audio/wav", 1, true) or accept:find("audio/x-wav", 1, true) or accept:find("audio/vnd.wave", 1, true)
  return accept:find("audio/mpeg", 1, true) and not takes_wav and "mp3" or "wav"
end

local function sound_of(ctx, row)
  local format = recording_format(ctx)
  local sound, err = recordings[format](ctx.tenant, row)
  if not sound then return problem.new(409, "recording_damaged", "The recording cannot be read: " .. err.text .. ".") end
  audit.transaction(ctx.tenant, function(tx)
    audit.record(tx, { actor = ctx:actor(), action = "recording.read", subject = row.public_id, fields = { format = format }, trace = ctx.trace.id })
    return true
  end)
  local headers = { ["Content-Type"] = format == "mp3" and "audio/mpeg" or "audio/wav",
    ["Content-Disposition"] = ('attachment; filename="%s.%s"'):format(row.public_id, format), Vary = "Accept" }
  return { status = 200, headers = headers, stream = function(out)
    local whole, why = sound(function(bytes) return out:write(bytes) end)
    if not whole then error(why, 0) end  -- cut off: what came is not all
  end }
end

local function download(ctx)
  local row = store.recording(ctx.tenant.db, ctx.params.recordingId)
  if not row then return problem.new(404, "recording_not_found", "There is no such recording.") end
  local reply, err = downloads.run(ctx.tenant, sound_of, ctx, row)
  if reply then return reply end
  return problem.new(429, "too_many_downloads", ("%s. Try again in %d s."):format(err.text, err.retry_after_s),
    { headers = { ["Retry-After"] = tostring(err.retry_after_s) } })
end

local function numbers(ctx)
  local out = json.array{}
  for i, row in ipairs(store.numbers_of(ctx.tenant.id)) do
    out[i] = { number = row.e164, label = row.label, trunk = row.trunk, from = row.match }
  end
  return 200, { numbers = out }
end

local function set_trunk(ctx)
  local body = ctx.body
  local tenant = tenants.get(ctx.params.tenant)
  if not tenant then return problem.new(404, "tenant_unknown", ("There is no tenant \"%s\"."):format(ctx.params.tenant)) end
  local trunk, err = trunks.set(tenant, { name = ctx.params.name, host = body.host, port = body.port, match = table.concat(body.match or {}, ","),
    numbers = body.numbers })
  if not trunk and err.code == "invalid" then
    local where = err.field == "name" and { parameter = "name" } or { pointer = "#/" .. err.field }
    where.detail = err.text
    return problem.new(422, "invalid_body", "A value is not valid: " .. err.text .. ".", { errors = { where } })
  end
  if not trunk and err.code == "not_told" then
    return problem.new(503, "nodes_not_told", "The trunk is written, but " .. err.text .. ".", { headers = { ["Retry-After"] = "2" } })
  end
  if not trunk then return problem.new(409, "number_taken", "The trunk could not be set: " .. err.text .. ".") end
  return 200, { name = trunk.name, endpoint = trunks.endpoint(trunk) }
end

local function register_calls()
  router.add{ method = "POST", path = "/calls", summary = "Initiate outbound call", status = 201, roles = everyone, limit = "write", response = call_schema,
    body = schema.object({ tenantId = tenant_id, phoneNumber = { type = "string", minLength = 1, maxLength = 40 },
      campaignId = { type = "string", maxLength = 64 }, flow = { type = "string", maxLength = 64, description = "a flow file of the live bundle" } },
      { "phoneNumber" }), handler = place }
  router.add{ method = "GET", path = "/calls", summary = "List calls, newest first", roles = everyone,
    query = { status = { type = "string", enum = { "ringing", "connected", "completed", "escalated", "failed" } },
      active = { type = "boolean", description = "true: those that are up; false: those that have ended" },
      phone = { type = "string", maxLength = 40 }, cursor = { type = "string", maxLength = 500 },
      limit = { type = "integer", minimum = 1, maximum = 200, default = 50 } },
    response = schema.object{ calls = { type = "array", items = call_schema } }, handler = list }
  router.add{ method = "GET", path = "/calls/{callId}", summary = "One call: states, when another worker took it up, lead, recordings", roles = everyone, response = call_schema, handler = read }
  router.add{ method = "POST", path = "/calls/{callId}/escalate", summary = "Escalate call to human agent (the flow's fallback)", status = 202,
    roles = everyone, handler = act("escalate", calls.escalate) }
  router.add{ method = "POST", path = "/calls/{callId}/hangup", summary = "Hang up", status = 202, roles = { "admin", "supervisor", "platform" },
    handler = act("hangup", calls.hangup) }
  local readers = { "admin", "supervisor" }
  local days = schema.object({ days = { type = "integer", minimum = 0, maximum = journals.MAX_DAYS, description = "0: they are not kept" } }, { "days" })
  router.add{ method = "GET", path = "/calls/journals", summary = "For how long the journals of calls are kept", roles = readers, response = days,
    handler = journal_days }
  router.add{ method = "PUT", path = "/calls/journals", summary = "Set for how many days the journals of calls are kept", roles = { "admin" },
    body = days, response = days, handler = set_journal_days }
  router.add{ method = "GET", path = "/calls/{callId}/journal", summary = "What a call's states asked for and were answered", roles = readers,
    response = call_schema, handler = read_journal }
  router.add{ method = "POST", path = "/calls/{callId}/replay", summary = "Run a call's flow again from its journal: does it decide the same?",
    roles = readers, limit = "heavy", scope = "calls:read", body_optional = true, response = call_schema, handler = run_again,
    body = schema.object{ version = { type = "string", maxLength = 64, description = "hash of a version, its beginning, or live; the one that ran unless given" },
      tenantId = tenant_id } }
  router.add{ method = "GET", path = "/recordings/{recordingId}", summary = "A recording as WAV or MP3: left is the caller", roles = { "admin", "supervisor" }, limit = "heavy",
    query = { format = { type = "string", enum = { "wav", "mp3" }, description = "else what Accept asks for, else wav" } }, handler = download }
  router.add{ method = "GET", path = "/numbers", summary = "The tenant's numbers", roles = everyone, handler = numbers }
  router.add{ method = "PUT", path = "/admin/tenants/{tenant}/trunks/{name}", summary = "Add or change a trunk and its numbers", roles = { "platform" },
    tenant = false, handler = set_trunk,
    body = schema.object({ host = { type = "string", maxLength = 255 }, port = { type = "integer", minimum = 1, maximum = 65535, default = 5060 },
      match = { type = "array", items = { type = "string", maxLength = 100 } }, numbers = { type = "array", items = { type = "string", format = "e164" } } }) }
end

--- Declares the routes.
function routes.register()
  register_calls()
  keeping_routes.register()
  quality_routes.register()
  router.socket{ path = "/ws/calls", summary = "The list of active calls, whenever it changes", roles = everyone, scope = "calls:read",
    open = function(ctx) return live.handler(ctx.slug, router.tenant) end }
  stream.snapshot_part("calls", "calls:read", function(tenant)
    local out = json.array{}
    for i, row in ipairs(store.active(tenant.db, 200)) do out[i] = calls.view(tenant, row) end
    return out
  end)
end

return routes
