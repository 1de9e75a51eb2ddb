-- SPDX-License-Identifier: Apache-2.0
--- GET /events, GET /audit, /ws.
local crypto = require "core.crypto"
local db = require "lib.db"
local idempotency = require "lib.idempotency"
local json = require "core.json"
local jobs = require "lib.jobs"
local router = require "lib.router"
local sequencer = require "audit.sequencer"
local store = require "audit.store"
local stream = require "audit.stream"
local tenants = require "tenants"
local time = require "lib.time"

local routes = {}

local event_schema = {
  type = "object",
  properties = {
    seq = { type = "integer" }, type = { type = "string" }, at = { type = "string", format = "date-time" }, tenant = { type = "string" },
    subject = { type = "string" }, data = { type = "object", additionalProperties = true }, trace = { type = "string" },
  },
}

local function list_events(ctx)
  local rows = store.list_events(db.lagging(ctx.tenant.db), ctx.query.after, ctx.query.limit, ctx.query.type, ctx.query.subject)
  local lines = {}
  for i, row in ipairs(rows) do lines[i] = sequencer.event_json(ctx.tenant, row) end
  local next_seq = #rows > 0 and rows[#rows].seq or ctx.query.after
  return 200, ('{"events":[%s],"next":%d}'):format(table.concat(lines, ","), next_seq)
end

local function list_audit(ctx)
  local rows = store.list_audit(db.lagging(ctx.tenant.db), ctx.query.after, ctx.query.limit, ctx.query.actor, ctx.query.subject)
  local list = json.array({})
  for i, row in ipairs(rows) do
    list[i] = { seq = row.seq, at = time.rfc3339(row.at), actor = row.actor, action = row.action, subject = row.subject,
      fields = json.decode(row.fields), trace = row.trace, hash = crypto.hex(row.hash) }
  end
  return 200, { entries = list, next = #rows > 0 and rows[#rows].seq or ctx.query.after }
end

local after = { type = "integer", minimum = 0, maximum = 2 ^ 53, default = 0, description = "Only what has a larger seq." }
local limit = { type = "integer", minimum = 1, maximum = 500, default = 100,
  description = "At most so many; fewer where they are large. The list ends with a page that is empty; `next` is the `after` of the next one." }

--- Declares the routes and the job that sweeps.
function routes.register()
  router.add{
    method = "GET", path = "/events", summary = "List events in order", roles = { "admin", "supervisor", "agent", "platform" },
    query = { after = after, limit = limit, type = { type = "string", maxLength = 64 }, subject = { type = "string", maxLength = 64 } },
    response = { type = "object", properties = { events = { type = "array", items = event_schema }, next = { type = "integer" } } },
    handler = list_events,
  }
  router.add{
    method = "GET", path = "/audit", summary = "List what was done by whom, with its chain of hashes", roles = { "admin", "platform" },
    query = { after = after, limit = limit, actor = { type = "string", maxLength = 64 }, subject = { type = "string", maxLength = 64 } },
    response = { type = "object", properties = { entries = { type = "array", items = { type = "object", additionalProperties = true } }, next = { type = "integer" } } },
    handler = list_audit,
  }
  router.socket{ path = "/ws", summary = "Events as they happen", roles = { "admin", "supervisor", "agent", "platform" }, scope = "events:read", open = stream.open }
  jobs.define("sequence", {
    every_s = 30,
    lease_s = 60,
    run = function(job)
      local tenant = tenants.get(job.tenant_id)
      if not tenant or tenant.status == "closed" or not tenant.db then return true end
      sequencer.sweep(tenant)
      idempotency.prune(tenant.db)
      return true
    end,
  })
end

return routes
