-- SPDX-License-Identifier: Apache-2.0
--- Every change leaves two rows in its transaction: an audit row (who did what to which) and an event (what happened).
---   audit.transaction(tenant, function(tx)
---     ... the change ...
---     audit.record(tx, { actor = "us_...", action = "lead.assign", subject = "ld_...", fields = { "assignedAgentId" }, trace = })
---     audit.event(tx, { type = "lead.assigned", subject = "ld_...", data = { agent = "us_..." }, trace = })
---     return something
---   end)
--- Rows hold ids, names of fields and keyed hashes, never personal values. Numbers and the hash chain come later, from
--- the sequencer. Who uses core.sql.transaction itself calls audit.mark(tenant) after the commit.
local db = require "lib.db"
local fault = require "core.fault"
local json = require "core.json"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local rules = require "audit.rules"
local sequencer = require "audit.sequencer"
local store = require "audit.store"
local task = require "core.task"
local time = require "lib.time"

local audit = {}

-- Transactions that have written an event or audit row, until they end; and those of the platform itself.
local touched, platforms = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })

--- An audit row. fields: any JSON value; trace: id text.
function audit.record(tx, row)
  if platforms[tx] then return audit.platform(tx, row) end
  store.add_audit(tx, { at = time.now(), actor = row.actor or "system", action = row.action, subject = row.subject or "",
    fields = json.encode(row.fields or json.array({})), trace = row.trace })
  touched[tx] = true
end

--- A durable event. data: a table. The platform itself has audit rows and no events.
function audit.event(tx, event)
  if platforms[tx] then return end
  store.add_event(tx, event.type, event.subject or "", event.data and json.encode(event.data) or "{}", event.trace, time.now())
  touched[tx] = true
end

local function add_events(tx, rows)
  if #rows > 1 then return store.add_events(tx, rows) end
  store.add_event(tx, rows[1][1], rows[1][2], rows[1][5], rows[1][3] ~= json.null and rows[1][3] or nil, rows[1][4])
end

--- Many events of one transaction, in their order.
function audit.events(tx, events)
  if platforms[tx] or #events == 0 then return end
  local at, rows, bytes = time.now(), {}, 0
  for _, event in ipairs(events) do
    local data = event.data and json.encode(event.data) or "{}"
    if #rows == store.EVENTS_MOST or #rows > 0 and bytes + #data > store.EVENTS_BYTES then
      add_events(tx, rows)
      rows, bytes = {}, 0
    end
    rows[#rows + 1], bytes = { event.type, event.subject or "", event.trace or json.null, at, data }, bytes + #data
  end
  add_events(tx, rows)
  touched[tx] = true
end

--- Is this a transaction of the platform itself, begun by audit.transaction?
function audit.of_platform(tx) return platforms[tx] == true end

--- An audit row of the platform itself, in a transaction of the platform schema.
function audit.platform(tx, row)
  store.add_platform_audit(tx, { at = time.now(), actor = row.actor or "system", action = row.action, subject = row.subject or "",
    fields = json.encode(row.fields or json.array({})), trace = row.trace })
end

--- A transaction of the tenant's schema; after its commit the sequencer is told when there is something for it.
--- Returns what fn returns (up to four values). fn may run again after a deadlock: it must not act outside.
--- The record of the operator (scripts.operator) stands for the platform schema.
function audit.transaction(tenant, fn)
  if tenant.id == 0 then
    return db.transaction(tenant.db, function(tx)
      platforms[tx] = true
      return fn(tx)
    end)
  end
  local wrote
  local a, b, c, d = db.transaction(tenant.db, function(tx)
    local r1, r2, r3, r4 = fn(tx)
    wrote = touched[tx]
    touched[tx] = nil
    return r1, r2, r3, r4
  end)
  fault.point("audit.committed")
  if wrote then audit.mark(tenant) end
  return a, b, c, d
end

--- Tells the sequencer that the tenant has committed events. Never fails: what is not told now is found by the sweep.
function audit.mark(tenant)
  task.spawn(sequencer.kick, tenant)
end

--- A live event: seen by who is looking now, kept nowhere. message: { name = "call.state", ... }
function audit.live(tenant, message)
  message.type = "live"
  message.at = message.at or time.rfc3339(time.now())
  return redis.call("PUBLISH", rediskey("live:", tenant.slug), json.encode(message))
end

--- Follows the whole chain, as far as the sequencer has numbered it: number of rows | nil, the first seq that does not fit.
function audit.verify(tenant)
  local head = store.head(tenant.db)
  local previous, seq = rules.GENESIS, 0
  while true do
    local rows = store.list_audit(tenant.db, seq, 500)
    if #rows == 0 then break end
    local last, broken = rules.verify(previous, seq + 1, rows)
    if not last then return nil, broken end
    previous, seq = last, rows[#rows].seq
  end
  -- A chain whose end was taken off, or that was written anew, is whole in itself.
  if seq < head.audit_seq then return nil, seq + 1 end
  if seq == head.audit_seq and head.audit_hash and previous ~= head.audit_hash then return nil, seq end
  return seq
end

return audit
