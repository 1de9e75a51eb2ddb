-- SPDX-License-Identifier: Apache-2.0
--- Scheduled and background work. A job is a row (tenant, kind, key); it is found by its due time over all tenants,
--- done by whoever holds its lease, tried again with back-off, and keeps its last error for people to read.
---   jobs.define("report.send", { run = function(job) ... end })            once; removed when done
---   jobs.define("sequence", { every_s = 30, run = ... })                   comes again
--- run gets { tenant_id, kind, key, attempt, payload } and returns true (or nothing) when done, a number when it wants to
--- come again in so many seconds, nil and a text when it is not done; what it raises counts as not done. It may run twice
--- after a crash, so its effects carry keys of their own.
local clock = require "core.clock"
local fault = require "core.fault"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local rules = require "lib.jobs.rules"
local store = require "lib.jobs.store"
local task = require "core.task"
local time = require "lib.time"
local timer = require "core.timer"
local worker = require "core.worker"

local jobs = {}

local LOOK_MS = 1000
local AT_ONCE = 8  -- jobs a worker runs at a time
local kinds = {}
local running = 0
local looking, blind = false, false
local looker

--- @param definition table  run =, every_s =, lease_s = (60), max_attempts = (12; a recurring job never gives up),
---   platform = true: the platform has one of these, put by itself
function jobs.define(kind, definition)
  assert(not kinds[kind], "job kind " .. kind .. " is defined twice")
  kinds[kind] = definition
end

--- Adds a job, or brings the same one forward. in_s: seconds from now, 0 unless given. payload: a table.
function jobs.put(job)
  assert(job.kind, "a job has a kind")
  store.put(job.tenant_id or 0, job.kind, job.key or "", time.ahead(job.in_s or 0), job.payload and json.encode(job.payload) or nil)
end

function jobs.remove(tenant_id, kind, key)
  store.remove(tenant_id, kind, key or "")
end

--- The row of a job, or nil: { state, due, attempt, last_error, ... }.
function jobs.get(tenant_id, kind, key)
  return store.get(tenant_id, kind, key or "")
end

local function settle(row, definition, ok, result, message)
  local now = time.now()
  if ok and type(result) == "number" then
    store.finish_turn(row.id, row.claim, time.ahead(rules.next_turn_s(result, math.random())), now)
    return
  end
  if ok and (result == true or (result == nil and message == nil)) then
    if definition.every_s then
      store.finish_turn(row.id, row.claim, time.ahead(rules.next_turn_s(definition.every_s, math.random())), now)
    else
      store.finish_once(row.id, row.claim, now)
    end
    return
  end
  local text = ok and tostring(message) or tostring(result)
  local given_up = not definition.every_s and row.attempt >= (definition.max_attempts or 12)
  local wait_s = rules.backoff_s(row.attempt, math.random())
  if definition.every_s then wait_s = math.min(wait_s, definition.every_s) end
  store.fail(row.id, row.claim, not given_up and time.ahead(wait_s) or nil, text, now)
  log[given_up and "error" or "warn"]("job.failed", { kind = row.kind, key = row.key, tenant_id = row.tenant_id, attempt = row.attempt, error = text, given_up = given_up })
end

local function run(row)
  local definition = kinds[row.kind]
  local lease_s = definition.lease_s or 60
  local keeper = timer.every(lease_s * 1000 / 3, function() store.renew(row.id, row.claim, time.ahead(lease_s)) end)
  local started = clock.mono_ms()
  local payload = row.payload and json.decode(row.payload) or {}
  local ok, result, message = pcall(definition.run, { tenant_id = row.tenant_id, kind = row.kind, key = row.key, attempt = row.attempt, payload = payload })
  keeper:cancel()
  running = running - 1
  metrics.count("parley_jobs_total", { kind = row.kind, result = ok and (result == true or message == nil) and "done" or "failed" }, 1, "jobs run")
  metrics.observe("parley_job_seconds", { kind = row.kind }, (clock.mono_ms() - started) / 1000, "time a job took")
  fault.point("job.run")
  settle(row, definition, ok, result, message)
  fault.point("job.settled")
  if running == AT_ONCE - 1 then jobs.look() end  -- we were full: there may be more
end

local ensured = false

local function ensure_platform_jobs()
  for kind, definition in pairs(kinds) do
    if definition.platform then jobs.put{ kind = kind, in_s = definition.every_s } end
  end
  ensured = true
end

--- Looks for due jobs once; called by the timer, and by whoever knows that one is due.
function jobs.look()
  if looking or running >= AT_ONCE then return end
  local names, lease_s = {}, 60
  for kind, definition in pairs(kinds) do
    names[#names + 1] = kind
    lease_s = math.max(lease_s, definition.lease_s or 0)
  end
  if #names == 0 then return end
  table.sort(names)
  looking = true
  if not ensured then pcall(ensure_platform_jobs) end  -- the database may be away: then at the next look
  local ok, rows = pcall(store.claim, names, time.now(), time.ahead(lease_s), worker.owner, AT_ONCE - running)
  looking = false
  if not ok then
    if not blind then log.warn("jobs.cannot_look", { error = tostring(rows) }) end
    blind = true
    return
  end
  blind = false
  if #rows > 0 then fault.point("job.claimed") end
  for _, row in ipairs(rows) do
    running = running + 1
    task.spawn(run, row)
  end
end

--- Starts looking, each second, until jobs.stop().
function jobs.start()
  looker = looker or timer.every(LOOK_MS, jobs.look)
end

--- Takes no more jobs. Those that run go on; when the process ends first, their leases run out.
function jobs.stop()
  if looker then looker:cancel() end
  looker = nil
end

return jobs
