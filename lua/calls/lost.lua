-- SPDX-License-Identifier: Apache-2.0
--- Closes rows whose call lives nowhere: its worker died between the row and the first record and the caller was gone before
--- anybody looked, or worker and Redis were lost together. Whoever takes a slot finds calls by record or channel; these have
--- neither.
---
--- The job "calls.lost" stands for a tenant from its first call on and goes when it has had none for a while, so idle tenants
--- cost nothing. A row is closed when it is old enough, no record is in Redis, and its node says that the channel is not there;
--- where one of them does not answer it waits for the next turn.
local audit = require "audit"
local clock = require "core.clock"
local fault = require "core.fault"
local jobs = require "lib.jobs"
local live = require "calls.live"
local log = require "core.log"
local metrics = require "core.metrics"
local nodes = require "nodes"
local quality = require "calls.quality"
local record = require "calls.record"
local recordings = require "calls.recordings"
local store = require "calls.store"
local telephony = require "core.telephony"
local tenants = require "tenants"
local time = require "lib.time"

local lost = {}

local KIND = "calls.lost"
local EXPECT_MS = 60000   -- a worker puts the job of a tenant once in so long
local AGAIN_S = 60
local OLD_S = 120         -- younger rows may be on their way to a record
local QUIET_S = 300       -- without a call for so long the job ends; more than EXPECT_MS and a turn
local NO_NODE_S = 86400   -- a node that is not configured any more may only be so on this host
local PAGE = 200

local expected = {}  -- tenant id -> mono ms

--- A call of the tenant is about to get its row.
function lost.expect(tenant)
  local now = clock.mono_ms()
  if expected[tenant.id] and now - expected[tenant.id] < EXPECT_MS then return end
  jobs.put{ tenant_id = tenant.id, kind = KIND, in_s = OLD_S }
  fault.point("call.expected")
  expected[tenant.id] = now
end

-- A slot of this worker on the node, by which its channels can be asked for.
local function slot_on(node)
  for _, slot in ipairs(telephony.status()) do
    if slot.mine and slot.state == "ready" and slot.slot:match("^(.-)%.") == node then return slot.slot end
  end
end

-- true: nobody has it; false: somebody has; nil: it cannot be said now.
local function is_lost(row)
  local there, err = record.exists(row.slot, row.public_id)
  if err then return nil end
  if there then return false end
  if not nodes.has(row.node) then
    return clock.wall_us() - time.us(row.start_time) > NO_NODE_S * 1e6 or nil
  end
  local slot = slot_on(row.node)
  local status = slot and telephony.request(slot, "GET", "/channels/" .. row.channel_id)
  if status == 404 then return true end
  if status == 200 then return false end
  return nil
end

-- What is known of its end is when its row was last written.
local function close(tenant, row)
  local status = row.answer_time and (row.status == "escalated" and "escalated" or "completed") or "failed"
  local seconds = row.answer_time and math.max(0, math.floor((time.us(row.updated_at) - time.us(row.answer_time)) / 1e6 + 0.5)) or 0
  local uncounted
  local closed = audit.transaction(tenant, function(tx)
    if not store.close_lost(tx, row.id, row.fence, { status = status, end_time = row.updated_at, seconds = seconds,
      failure = "the platform lost this call: what served it died, and what it knew with it" }) then return false end
    audit.event(tx, { type = "call.ended", subject = row.public_id, trace = row.trace,
      data = { status = status, outcome = "lost", by = "platform", seconds = seconds } })
    if row.answer_time then uncounted = select(2, quality.count(tx, row.id, row.updated_at)) end  -- what its turns took is lost with it
    return true
  end)
  if not closed then return end
  if uncounted then log.error("call.not_counted", { call = row.public_id, tenant = tenant.slug, text = uncounted }) end
  log.warn("call.lost", { call = row.public_id, tenant = tenant.slug, node = row.node })
  metrics.count("calls_lost_total", nil, 1, "calls whose row was closed because nobody had them any more")
  recordings.finish{ tenant = tenant, id = row.public_id, row_id = row.id, trace = row.trace }
  live.changed(tenant)
end

--- Looks at a tenant's open rows once. Returns true when none is open and none was of late, else in how many seconds to look again.
--- @param find function(public id)  the call when it is this worker's
function lost.look(tenant, find)
  local now = clock.wall_us()
  local last, open = 0, false
  while true do
    local rows = store.open_after(tenant.db, last, PAGE)
    for _, row in ipairs(rows) do
      last = row.id
      local old = now - time.us(row.start_time) > OLD_S * 1e6
      if old and not find(row.public_id) and is_lost(row) then close(tenant, row) else open = true end
    end
    if #rows < PAGE then break end
  end
  local newest = not open and store.newest_start(tenant.db)
  if open or (newest and now - time.us(newest) < QUIET_S * 1e6) then return AGAIN_S end
  return true
end

--- Declares the job.
function lost.start(find)
  jobs.define(KIND, {
    run = function(job)
      local tenant = tenants.get(job.tenant_id)
      if not tenant or tenant.status == "closed" or not tenant.db then return true end
      return lost.look(tenant, find)
    end,
  })
end

return lost
