-- SPDX-License-Identifier: Apache-2.0
--- Counts the calls of each version, and ends a canary of which too many fail. A worker adds up what it has seen and writes it
--- every two seconds, one statement for each version that had calls, however many. Whoever writes the count that is one too many
--- moves the pointer.
---
--- What may be lost: a worker that ends by itself (drained, stopped, renewed) writes what it has counted first; one that is killed
--- loses the counts of the calls that ended in its last two seconds, or since the database was last there. A count is never
--- written twice but when the answer to its statement was lost. So a canary may be judged by a few calls late, never by calls
--- that were not.
local clock = require "core.clock"
local db = require "lib.db"
local log = require "core.log"
local metrics = require "core.metrics"
local pointers = require "scripts.pointers"
local rules = require "scripts.rules"
local store = require "scripts.store"
local task = require "core.task"
local time = require "lib.time"
local timer = require "core.timer"

local use = {}

local WRITE_MS = 2000

local counted = {}  -- tenant id -> { tenant =, versions = { [hash] = { calls, failed, over_budget } } }
local armed, writing = false, false

local function add(tenant, hash, calls, failed, over_budget)
  local of_tenant = counted[tenant.id] or { versions = {} }
  counted[tenant.id], of_tenant.tenant = of_tenant, tenant
  local version = of_tenant.versions[hash] or { calls = 0, failed = 0, over_budget = 0 }
  of_tenant.versions[hash] = version
  version.calls, version.failed, version.over_budget = version.calls + calls, version.failed + failed, version.over_budget + over_budget
end

local function judge(tenant, hash)
  local canary = store.canary_use(tenant.db, hash)
  if not canary or not rules.canary_fails(canary) then return end
  canary.hash = hash
  if not pointers.demote(tenant, canary) then return end
  log.warn("bundle.canary_failed", { tenant = tenant.slug, hash = hash:sub(1, 12), calls = canary.calls, failed = canary.failed })
  metrics.count("canaries_rolled_back_total", nil, 1, "canaries that were ended because too many of their calls failed")
end

--- Writes what was counted. What cannot be written is kept for the next time.
function use.write()
  if writing then return end
  writing = true
  local now, away = counted, {}
  counted = {}
  for _, of_tenant in pairs(now) do
    local tenant = of_tenant.tenant
    local server = tenant.db:match("^(.-)/") or "main"
    for hash, n in pairs(of_tenant.versions) do
      local ok, err = true, nil
      if not away[server] then ok, err = pcall(store.use_add, tenant.db, hash, n.calls, n.failed, n.over_budget, time.sql(clock.wall_us())) end
      if away[server] or not ok then
        away[server] = true
        add(tenant, hash, n.calls, n.failed, n.over_budget)
      else
        ok, err = pcall(judge, tenant, hash)
      end
      if not ok then
        log[db.is_failure(err) and "warn" or "error"]("bundle.use_not_written", { tenant = tenant.slug, hash = hash:sub(1, 12), text = tostring(err) })
      end
    end
  end
  writing = false
  return next(counted) == nil
end

--- Writes what was counted until nothing is left, at most so long: for who ends. Returns whether nothing is left.
function use.settle(ms)
  local ends = clock.mono_ms() + ms
  while (writing or not use.write()) and clock.mono_ms() < ends do task.sleep(20) end
  return not writing and next(counted) == nil
end

local function write_soon()
  if armed then return end
  armed = true
  timer.after(WRITE_MS, function()
    use.write()
    armed = false
    if next(counted) then write_soon() end
  end)
end

--- Counts a call that has ended or failed, once. Never waits.
--- @param kind string|nil  why it could not go on; nil: it ended by itself
function use.count(tenant, hash, kind, is_canary)
  local blame = rules.blame(kind)
  add(tenant, hash, 1, blame and 1 or 0, blame == "over_budget" and 1 or 0)
  metrics.count("bundle_calls_total", { pointer = is_canary and "canary" or "live", result = blame or "ok" }, 1, "calls by the version they ran and what came of it")
  write_soon()
end

return use
