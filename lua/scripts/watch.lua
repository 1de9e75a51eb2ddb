-- SPDX-License-Identifier: Apache-2.0
--- Watches cells from outside and holds those that do not hold themselves.
---
--- A cell sleeps by itself when its share of a second is used up, and ends itself at its memory limit. What is in it may be
--- broken or hostile, so neither is believed: four times a second the worker looks at the process. How much a cell owes is what
--- it has used beyond its share; an honest one never owes more than the share of one second and what a single C function
--- takes. One that owes more goes down a ladder:
---     idle     it runs only when nobody else wants the core
---     stop     a second later still over: stopped until it has paid, again and again
---     killed   when that went on for ten seconds; the call that its page names gets the strike
--- Ten seconds without such a debt take it off the ladder. A cell that is larger than its limit and what a process needs besides
--- is killed at once.
---
--- Nor does an honest one that works long go before others on a full machine: from a turn that took a whole slice, or a tenth of a
--- core, on it comes last (idle, as above) until it had no such turn for some seconds. Callers of other tenants do not wait behind loops.
---
--- The cost is flat for each cell: one that has not run is asked for a flag in shared memory and nothing else. The flag is the
--- cell's own, so once a second its clock is read all the same. One that has used nothing for some seconds is at rest: it is looked
--- at every four seconds, or as before from the moment that it is given something to do.
local clock = require "core.clock"
local log = require "core.log"
local metrics = require "core.metrics"
local timer = require "core.timer"

local watch = {}

local LOOK_MS = 250
local TURNS = 4                  -- a cell that does not look as if it ran is measured at one look of so many
local REST_TURNS = 16            -- one at rest is looked at once in so many, which TURNS divides
local CALM = 3                   -- so often measured without any use it is at rest
local HEAVY = 0.1                -- of a core: who takes more comes last, whatever its page tells of its turns
local LAST_MS = 3000             -- for so long after its last long turn
local LAST_WAITING_MS = 10000    -- and for so long where it may wait for the core in the middle of one
-- Owed beyond a second's share by what cannot be interrupted: the turn that it ends in, a built-in, and a collection, which takes 1.5 ms
-- for each MiB of a full heap; twice that.
local BUILTIN_S, COLLECT_S_PER_MB = 0.06, 0.003
local STOP_AFTER_MS = 1000
local KILL_AFTER_MS = 10000
local FORGIVE_MS = 10000
local PROCESS_MB = 32            -- a process beside its Lua: program, libraries, buffers, the allocator's waste
local MB = 1024 * 1024

local count, turn, ticker = 0, 0, nil
local awake, resting = {}, {}    -- held -> true; the second by the turn when they are looked at
for i = 0, REST_TURNS - 1 do resting[i] = {} end
local told_unknown = false       -- that sizes cannot be read is told of the first

local BUDGET = { "weight", "soft_mb", "hard_mb", "slice_ms", "invocation_ms", "call_ms", "share_percent" }

--- What a tenant's cells start with, for cell.spawn: what the tenant's record has in `limits.cells`, else the configuration's.
function watch.budget(tenant)
  local own = type(tenant.limits) == "table" and type(tenant.limits.cells) == "table" and tenant.limits.cells or {}
  local budget = { tenant = tenant.id > 0 and tenant.id or nil }
  for _, name in ipairs(BUDGET) do
    local n = own[name]
    if type(n) == "number" and n >= 1 and n < 2 ^ 31 then budget[name] = math.floor(n) end
  end
  return budget
end

local function step(held, name)
  held.cell:hold(name)
  held.step, held.since_ms = name, held.at_ms
  metrics.count("cells_throttled_total", { step = name }, 1, "cells over their share that were made idle or stopped")
end

--- Kills a watched cell: why for the metric, text for those who are told ("the cell <text>").
function watch.kill(held, why, text)
  watch.drop(held)
  metrics.count("cells_killed_total", { why = why }, 1, "cells that were killed from outside")
  held.cell:kill(text)
end

-- Returns why and how it is to be killed, if it is.
local function climb(held)
  local now, over = held.at_ms, held.owed_s > held.share + held.slack_s
  held.clear_ms = not (over or held.stopped) and (held.clear_ms or now) or nil
  if held.stopped then
    if over then return end
    held.stopped = false
    held.cell:hold("go")
  elseif not held.step then
    if not over then return end
    log.warn("cell.throttled", { tenant = held.slug, step = "idle", owed_s = held.owed_s, share = held.share })
    step(held, "idle")
  elseif over and held.first_stop_ms and now - held.first_stop_ms > KILL_AFTER_MS then
    return "cpu", ("used more processor time than its share (%d %% of a core) whatever was done about it; look at what the script "
      .. "does there, or give the tenant a larger share (cells.share_percent)"):format(held.share * 100)
  elseif over and (held.step == "stop" or now - held.since_ms >= STOP_AFTER_MS) then
    held.first_stop_ms = held.first_stop_ms or now
    held.stopped = true
    step(held, "stop")
  elseif held.clear_ms and now - held.clear_ms >= FORGIVE_MS then
    held.step, held.first_stop_ms, held.last_ms = nil, nil, nil
    held.cell:hold("normal")
    log.info("cell.forgiven", { tenant = held.slug })
  end
end

local function too_large(held)
  local bytes, err = held.cell:resident()
  if not bytes then
    if err.code == "io" and not told_unknown then
      told_unknown = true
      log.warn("cells.size_unknown", { text = err.text .. "; only their own limits hold them (is /proc mounted with hidepid?)" })
    end
    return
  end
  local most = held.hard_bytes + held.mapped_bytes + PROCESS_MB * MB
  if bytes <= most then return end
  return ("took %d MiB of memory, where %d are allowed (cells.hard_mb, its bundles and %d for the process); look at what the script "
    .. "keeps, or raise cells.hard_mb"):format(bytes / MB, most / MB, PROCESS_MB)
end

-- Where it is found: among those awake, or at rest.
local function move(held, among)
  if held.among then held.among[held] = nil end
  held.among, held.calm = among, 0
  if among then among[held] = true end
end

-- is_heavy: it had a long turn, or took much; runs: it may be in one now.
local function come_last(held, is_heavy, runs)
  if held.step or held.always_last or not held.lets_back then return end
  if is_heavy then
    if not held.last_ms then
      held.cell:hold("idle")
      metrics.count("cells_throttled_total", { step = "last" }, 1, "cells over their share that were made idle or stopped")
    end
    held.last_ms = held.at_ms
  elseif held.last_ms and held.at_ms - held.last_ms >= (runs and LAST_WAITING_MS or LAST_MS) then
    held.last_ms = nil
    held.cell:hold("normal")
  end
end

-- One look at one cell. Returns why and how it is to be killed, if it is.
local function look(held, now)
  local awake_now, ran, was_long, runs = held.among == awake, held.cell:ran()
  if awake_now and not (ran or held.step or held.last_ms or held.owed_s > 0 or held.turn % TURNS == turn % TURNS) then return end
  local cpu_s = held.cell:usage()
  if not cpu_s then return end  -- it has ended, and its owner hears so
  local used, passed_s = cpu_s - held.cpu_s, (now - held.at_ms) / 1000
  held.owed_s = math.max(0, held.owed_s + used - held.share * passed_s)
  held.cpu_s, held.at_ms = cpu_s, now
  come_last(held, was_long or used > HEAVY * math.max(passed_s, LOOK_MS / 1000), runs)
  if ran or used > 0 or held.step or held.last_ms or held.owed_s > 0 then
    held.calm = 0
    if not awake_now then move(held, awake) end
  elseif awake_now then
    held.calm = held.calm + 1
    if held.calm == CALM then move(held, resting[held.turn]) end
  end
  local text = used > 0 and too_large(held)
  if text then return "memory", text end
  return climb(held)
end

--- One look at those whose turn it is; what is in the timer, public for the spec.
function watch.look()
  local now, doomed = clock.mono_ms(), {}
  turn = (turn + 1) % REST_TURNS
  local function look_at(some)
    for held in pairs(some) do
      local why, text = look(held, now)
      if why then doomed[#doomed + 1] = { held, why, text } end
    end
  end
  look_at(awake)
  look_at(resting[turn])  -- then: nobody is added to a table that is being walked through
  for _, one in ipairs(doomed) do watch.kill(unpack(one)) end  -- now: who hears of it may start cells
end

--- It is given something to do. What it may use begins anew: a long rest is no credit.
function watch.wake(held)
  if not held.among or held.among == awake then return end
  move(held, awake)
  held.at_ms = clock.mono_ms()
end

--- Puts a watched cell behind others as a long turn does: for the next of one that died. Who fills his memory and dies again and again
--- is not first each time until somebody looks.
function watch.begin_last(held) come_last(held, true, false) end

--- Makes a watched cell the last for as long as it lives.
function watch.last(held)
  held.always_last = true
  held.cell:hold("idle")
end

--- Whether a cell waits longer than others for its turn: it was put behind them.
function watch.is_last(held) return (held.step or held.last_ms or held.always_last) ~= nil end

--- Begins to watch a cell. watch.drop() is owed when it ends.
--- @return table  held.stopped: it cannot answer now; held.mapped_bytes: of bundles, kept by the caller
function watch.add(cell, tenant)
  local budget = cell:budget()
  local held = {
    cell = cell, slug = tenant.slug, share = budget.share_percent / 100,
    slack_s = budget.slice_ms / 1000 + BUILTIN_S + COLLECT_S_PER_MB * budget.hard_mb, lets_back = budget.lets_back == 1,
    hard_bytes = budget.hard_mb * MB, mapped_bytes = 0,
    cpu_s = cell:usage() or 0, owed_s = 0, at_ms = clock.mono_ms(), turn = count % REST_TURNS,
  }
  move(held, awake)
  count = count + 1
  metrics.gauge("cells", nil, count, "tenants' processes of this worker")
  if budget.tenant > 0 then
    metrics.gauge("cells_weighted", nil, budget.weight > 0 and 1 or 0, "workers whose tenants have a CPU weight of their own (control groups)")
  end
  ticker = ticker or timer.every(LOOK_MS, watch.look)
  return held
end

function watch.drop(held)
  if not held.among then return end
  move(held, nil)
  count = count - 1
  metrics.gauge("cells", nil, count, "tenants' processes of this worker")
  if count > 0 or not ticker then return end
  ticker:cancel()
  ticker = nil
end

return watch
