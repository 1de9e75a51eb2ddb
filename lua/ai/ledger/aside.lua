-- SPDX-License-Identifier: Apache-2.0
--- Entries of the ledger that the database does not take, whatever is tried: kept for the operator, so that all others can be written.
---
---   aside.is_own(err)         does it fail for what is in the entries, so that others may be written?
---   aside.put(tenant, entry, err, at_end) -> true | false, why
--- Such an entry is in the log with all that is known of it ("ai.entry_set_aside"), counted, and is a job of its own ("ai.ledger", its key
--- is the entry's): tried again for some hours, which is what a mended server needs, then it stays as failed, with its error. Until it is
--- written its cost is in no sum. Where the job cannot be put nothing is set aside, and the entry stays with whoever has it; at_end: his worker
--- ends, so the log must do.
local db = require "lib.db"
local jobs = require "lib.jobs"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local text = require "lib.text"

local aside = {}

local KIND, FIRST_S = "ai.ledger", 600
local own = { invalid = true, exists = true }
local TOO_LARGE = 1153  -- a packet; half as many rows may fit

--- See above. What is raised and no failure of the database is of the entries, too: a text that cannot be JSON, for one.
function aside.is_own(err) return not db.is_failure(err) or own[err.code] == true or err.number == TOO_LARGE end

-- Whatever stands in it, made fit for JSON.
local function readable(value)
  if type(value) == "string" then return text.clean(value, #value) end
  if type(value) == "number" and (value ~= value or value >= math.huge or value <= -math.huge) then return tostring(value) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, member in pairs(value) do copy[readable(key)] = readable(member) end
  return copy
end

--- See above. May wait.
function aside.put(tenant, entry, err, at_end)
  local kept = readable{ row = entry.row, call = entry.call, answer = entry.answer }
  local key = entry.row and entry.row.entry_key or entry.answer.subject
  local ok, failed = pcall(jobs.put, { tenant_id = tenant.id, kind = KIND, key = key, in_s = FIRST_S, payload = kept })
  if not (ok or at_end) then return false, failed end
  log.error("ai.entry_set_aside", { tenant = tenant.slug, entry = json.encode(kept), text = tostring(err), job = ok and key or tostring(failed) })
  metrics.count("ai_entries_set_aside_total", { kind = entry.row and "attempt" or "answer" }, 1,
    "attempts and answers that the database did not take: see the log, and the jobs of kind ai.ledger")
  return true
end

jobs.define(KIND, { lease_s = 60, run = function(job)
  local tenant = require("tenants").get(job.tenant_id)
  if not tenant then return true end
  require("ai.ledger").write_again(tenant, job.payload)
  return true
end })

return aside
