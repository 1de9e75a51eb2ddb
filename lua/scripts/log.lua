-- SPDX-License-Identifier: Apache-2.0
--- The tenant's script log: what scripts logged and how they failed. A line waits in the worker until it is written, a moment
--- later and with others; no call waits for it. Then who follows the log over /ws is told.
---
--- What may be lost: a worker that ends by itself (drained, stopped, renewed) writes what waits first; one that is killed loses
--- the lines that waited, at most MOST of a tenant: those of its last milliseconds, or since the database was last there.
local audit_stream = require "audit.stream"
local clock = require "core.clock"
local config = require "core.config"
local db = require "lib.db"
local jobs = require "lib.jobs"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local operator = require "scripts.operator"
local pii = require "lib.pii"
local redact = require "ai.guard.redact"
local store = require "scripts.store"
local task = require "core.task"
local tenants = require "tenants"
local text_of = require "lib.text"
local time = require "lib.time"

local script_log = {}

local AT_ONCE = 16              -- lines in one statement, where so many wait
local MOST = 500                -- lines of a tenant that may wait; more are dropped and counted
local TEXT_MAX = 60000          -- bytes of a line's text; the column takes 65,535 of what it is sealed to
local FRAMES, FRAME_BYTES = 10, 256
local KIND, FORGET_S = "script_log.forget", 6 * 3600
local BATCH = 500

local queues = {}      -- tenant id -> { tenant =, lines =, dropped = }
local asked_ms = {}    -- tenant id -> when this worker last put the job that forgets

--- A traceback as a cell gave it, made fit: at most ten lines of text, or nil.
function script_log.trace(frames)
  if type(frames) ~= "table" then return nil end
  local lines = {}
  for i = 1, FRAMES do
    if type(frames[i]) ~= "string" then break end
    lines[i] = text_of.clean(frames[i]:gsub("%c", "?"), FRAME_BYTES)
  end
  return #lines > 0 and lines or nil
end

local function sealed(tenant, entry)
  local row = {}
  for name, value in pairs(entry) do row[name] = value end
  row.text = pii.seal(tenant, "script_log.text", entry.text)
  row.trace = pii.seal(tenant, "script_log.trace", entry.trace and table.concat(entry.trace, "\n"))
  return row
end

-- A line as the API and /ws show it.
local function shown(entry)
  return { at = time.rfc3339(entry.at), level = entry.level, call = entry.call, state = entry.state, version = entry.bundle_hash, file = entry.file,
           line = entry.line, text = entry.text, trace = entry.trace and json.array(entry.trace) }
end

--- A row of the store as the API shows it.
function script_log.view(tenant, row)
  local trace = pii.open(tenant, "script_log.trace", row.trace)
  local entry = { at = row.at, level = row.level, call = row.call, state = row.state, bundle_hash = row.bundle_hash, file = row.file, line = row.line,
                  text = text_of.clean(pii.open(tenant, "script_log.text", row.text), TEXT_MAX) }
  if trace then
    entry.trace = {}
    for line in trace:gmatch("[^\n]+") do entry.trace[#entry.trace + 1] = line end
  end
  return shown(entry)
end

local function tell(tenant, batch)
  local news = {}
  for i, entry in ipairs(batch) do
    news[i] = shown(entry)
    news[i].name = "script.log"
  end
  audit_stream.tell(tenant, "scripts", news)
end

local function see_to_forgetting(tenant)
  local now = clock.mono_ms()
  if (asked_ms[tenant.id] or -math.huge) + FORGET_S * 1000 > now then return end
  asked_ms[tenant.id] = now
  jobs.put{ tenant_id = tenant.id, kind = KIND, in_s = FORGET_S }
end

local function never() return false end

local function write_batch(tenant, batch)
  local rows = {}
  for i, entry in ipairs(batch) do rows[i] = sealed(tenant, entry) end
  local ok, err = db.patiently(function() return store.log_insert(tenant.db, rows) end, never)
  if not ok and #batch > 1 then  -- one of them does not fit; the others are not lost for it
    for _, entry in ipairs(batch) do write_batch(tenant, { entry }) end
  elseif not ok then
    log.warn("script_log.not_written", { tenant = tenant.slug, text = tostring(err) })
  else
    tell(tenant, batch)
    see_to_forgetting(tenant)
  end
end

local function write(queue)
  task.sleep(0)  -- what is logged in the same moment goes along
  while #queue.lines > 0 do
    local batch, count = {}, #queue.lines >= AT_ONCE and AT_ONCE or 1
    for i = 1, count do batch[i] = queue.lines[i] end
    local rest = {}
    for i = count + 1, #queue.lines do rest[i - count] = queue.lines[i] end
    queue.lines = rest
    local ok, err = pcall(write_batch, queue.tenant, batch)
    if not ok then log.warn("script_log.not_told", { tenant = queue.tenant.slug, text = tostring(err) }) end
    if queue.dropped > 0 then
      log.warn("script_log.dropped", { tenant = queue.tenant.slug, lines = queue.dropped })
      metrics.count("script_log_dropped_total", nil, queue.dropped, "lines of script logs that came faster than they could be written")
      queue.dropped = 0
    end
  end
  queues[queue.tenant.id] = nil
end

--- Adds a line. Never fails, never waits.
--- @param entry table  level, text, call = public id, call_id = its row, state, bundle_hash, file, line, trace = list of text
function script_log.add(tenant, entry)
  entry.at, entry.text = time.sql(clock.wall_us()), redact.cards(text_of.clean(entry.text, TEXT_MAX))
  local queue = queues[tenant.id]
  if queue then
    if #queue.lines >= MOST then
      queue.dropped = queue.dropped + 1
    else
      queue.lines[#queue.lines + 1] = entry
    end
    return
  end
  queue = { tenant = tenant, lines = { entry }, dropped = 0 }
  queues[tenant.id] = queue
  task.spawn(write, queue)
end

--- Waits until what was added is written, at most so long: for who ends. Returns whether nothing is left.
function script_log.settle(ms)
  local ends = clock.mono_ms() + ms
  while next(queues) and clock.mono_ms() < ends do task.sleep(10) end
  return next(queues) == nil
end

--- Forgets lines older than limits.script_log_days, a few at a time. Returns how many.
function script_log.forget(tenant)
  local before = time.ahead(-config.limits.script_log_days * 86400)
  local count = 0
  while true do
    local gone = store.log_forget(tenant.db, before, BATCH)
    count = count + gone
    if gone < BATCH then return count end
    task.sleep(50)
  end
end

--- Declares the job.
function script_log.start()
  jobs.define(KIND, {
    lease_s = 600,
    run = function(job)
      local tenant = job.tenant_id == operator.tenant.id and operator.tenant or tenants.get(job.tenant_id)
      if not tenant or tenant.status == "closed" or not tenant.db then return true end
      script_log.forget(tenant)
      if store.log_is_empty(tenant.db) then return true end
      return FORGET_S
    end,
  })
end

return script_log
