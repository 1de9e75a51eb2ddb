-- SPDX-License-Identifier: Apache-2.0
--- The journals of calls that have ended: read for replay, and removed when the tenant does not want them any longer.
--- The job "calls.journals" stands for a tenant from its first journal on.
local clock = require "core.clock"
local fault = require "core.fault"
local history = require "calls.history"
local jobs = require "lib.jobs"
local store = require "calls.store"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"

local journals = {}

local KIND = "calls.journals"
local EVERY_S = 3600
local BATCH = 200
journals.MAX_DAYS = 3650

local expected = {}  -- tenant id -> true: the job is put

--- A journal of the tenant has been written.
function journals.expect(tenant)
  if expected[tenant.id] then return end
  expected[tenant.id] = true
  task.spawn(function()
    local ok = pcall(jobs.put, { tenant_id = tenant.id, kind = KIND, in_s = EVERY_S })
    if not ok then expected[tenant.id] = nil end  -- the next call tries again
  end)
end

--- The journal of a call: what history.open gives, or nil when there is none.
function journals.read(tenant, row_id)
  local row = store.journal(tenant.db, row_id)
  return row and row.journal and history.open(tenant, row.journal)
end

function journals.days(tenant) return store.journal_days(tenant.db) end

--- For how long they are kept from now on, 0: not at all. journals.moved() is owed after the commit.
journals.set_days = store.set_journal_days

--- Those that are older than is wanted now go at once.
function journals.moved(tenant) jobs.put{ tenant_id = tenant.id, kind = KIND } end

--- Removes what is older than the tenant wants, a batch after the other. Returns how many.
function journals.expire(tenant)
  local before = time.sql(clock.wall_us() - store.journal_days(tenant.db) * 86400 * 1e6)
  local count = 0
  while true do
    local removed = store.remove_journals(tenant.db, before, BATCH)
    count = count + removed
    fault.point("journals.removed")
    if removed < BATCH then return count end
  end
end

--- Declares the job.
function journals.start()
  jobs.define(KIND, {
    every_s = EVERY_S,
    run = function(job)
      local tenant = tenants.get(job.tenant_id)
      if tenant and tenant.status ~= "closed" and tenant.db then journals.expire(tenant) end
      return true
    end,
  })
end

return journals
