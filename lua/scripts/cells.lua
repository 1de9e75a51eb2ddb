-- SPDX-License-Identifier: Apache-2.0
--- The worker's cells: one process per tenant, started on first use, with the bundle versions its calls are pinned to.
---
--- A run belongs to a handler: { verb(visit, n, name, args), next(visit, name, data), failed(visit, kind, text, file, line),
--- lost(mine, page, why) }. When a cell dies every handler hears lost(); mine says that it counts against this call: the page names
--- it as the one that ran, or names none (page is empty then) where the cell itself can be trusted no more.
---
--- Nothing a cell sends is trusted. C has checked its form and reads it no faster than it may send (core/bind/intake.h), heard.lua its
--- values; here its right is checked: a run that this worker has given to this very cell, in the visit it was given for, with one
--- NEXT or FAILED at its end. What a cell left over from a run that is gone is no news; what no cell says ends it.
local cell = require "core.cell"
local clock = require "core.clock"
local gate = require "scripts.gate"
local heard = require "scripts.heard"
local log = require "core.log"
local metrics = require "core.metrics"
local operator = require "scripts.operator"
local promise = require "lib.promise"
local silence = require "scripts.silence"
local store = require "scripts.store"
local task = require "core.task"
local tenants = require "tenants"
local timer = require "core.timer"
local watch = require "scripts.watch"

local cells = {}

local IDLE_MS = 120000                    -- a cell without calls is ended
local SPAWN_MS = 5000                     -- the zygote takes less than one
local BACK_OFF_MS, BACK_OFF_MAX_MS = 100, 5000
local FLOOD_MS = 30000                    -- a cell that sends as fast as it is read, and no state of its calls ends, is ended
local OWED_MS, TICK_MS = 30000, 5000      -- a run that says nothing for so long after it was started or answered is started again
local OWED_LAST_MS = 4 * OWED_MS           -- the same of a cell that is put behind all others
local CHECK_MS, CHECK_CPU_S = 20000, 2    -- a check that takes longer; by its own doing if it had so much of a processor
local HOOK_MS = 5000                       -- a hook that is not answered by then never will be
local LATE_HOOKS = 256                     -- so many are remembered, as many as a cell works at (core/cell/hook.h); then it is asked no more
local VERSIONS, UNUSED_MS = 8, 10000      -- with more than so many, those that no call has run of late are unloaded
local VERSIONS_FULL = 32                   -- and with so many all that nothing is at work in; a cell holds 128 (core/cell/cell.h)

local by_tenant = {}                      -- tenant id -> entry

--- Bundle bytes by hash: few versions are in use at a time, and every cell start needs them.
local bytes_cache, cache_order = {}, {}
local function bundle_bytes(tenant, hash)
  local key = tenant.id .. ":" .. hash
  if bytes_cache[key] then return bytes_cache[key] end
  local bytes = tenant.bundles and tenant.bundles[hash] or operator.shipped_bytes(hash) or store.bundle_bytes(tenant.db, hash)
    or store.bundle_bytes(operator.tenant.db, hash)  -- the operator's flows run for tenants that have none
  if not bytes then return nil end
  bytes_cache[key] = bytes
  cache_order[#cache_order + 1] = key
  if #cache_order > 64 then bytes_cache[table.remove(cache_order, 1)] = nil end
  return bytes
end
cells.bundle_bytes = bundle_bytes

-- What ends a cell because it is no longer what we started.
local FLOODED = "kept sending while its calls stood still"
local GUILTY = { [heard.NONSENSE] = true, [FLOODED] = true, ["sent a malformed message"] = true, ["sent a message of no known type"] = true }

local function entry_ended(entry, why, page)
  if entry.ended then return end
  entry.ended = true
  if by_tenant[entry.tenant.id] == entry then by_tenant[entry.tenant.id] = nil end
  if entry.ping then entry.ping:cancel() end
  if entry.rest then entry.rest:cancel() end
  if entry.held then watch.drop(entry.held) end
  local runs = entry.runs
  entry.runs = {}
  for _, version in pairs(entry.versions) do version.loaded:give(nil, { code = "closed", text = "the cell " .. why }) end
  for id, waiting in pairs(entry.hooks) do
    if page.running and page.call == "hook " .. id then
      waiting:give(false, { kind = "died", text = "the script's process " .. why, file = page.file, line = page.line })
    else
      waiting:give(nil, { code = "closed", text = "the cell " .. why })
    end
  end
  -- A cell writes the page itself. Where one that was taken over names none of its calls, it counts against each of them;
  -- and where it has done nothing for any of them.
  local named = page.running == true and runs[page.call] ~= nil
  local all = GUILTY[why] and (not named or why == FLOODED)
  local count = 0
  for call, run in pairs(runs) do
    count = count + 1
    if all then task.spawn(run.lost, true, {}, why) else task.spawn(run.lost, named and page.call == call, page, why) end
  end
  if entry.private then return end
  metrics.count("cells_ended_total", { why = why == "idle" and "idle" or GUILTY[why] and "hostile" or "died" }, 1, "cells that ended")
  if why ~= "idle" then
    log.warn("cell.ended", { tenant = entry.tenant.slug, why = why, calls = count, call = page.call, file = page.file, line = page.line })
    local memory = entry.tenant.id
    cells.deaths[memory] = (cells.deaths[memory] or 0) + 1
    timer.after(60000, function()
      local left = (cells.deaths[memory] or 1) - 1
      cells.deaths[memory] = left > 0 and left or nil
    end)
  end
end
cells.deaths = {}

-- -- what a cell owes: of each run, whether it is the cell's turn, and since which tick ---------------------------------------------

local function settle(run)
  local owed, tick = run.entry.owed, run.owed_tick
  if not tick then return end
  run.owed_tick = nil
  owed[tick][run] = nil
  if next(owed[tick]) == nil then owed[tick] = nil end
end

local function owe(run)
  settle(run)
  local owed, tick = run.entry.owed, math.floor(clock.mono_ms() / TICK_MS)
  owed[tick] = owed[tick] or {}
  owed[tick][run], run.owed_tick = true, tick
end

-- A cell that answers pings and does nothing else leaves callers on a silent line.
local function run_late_again(entry, now)
  local late, patience_ms = {}, watch.is_last(entry.held) and OWED_LAST_MS or OWED_MS
  for tick, runs in pairs(entry.owed) do  -- a handful of ticks
    if now - (tick + 1) * TICK_MS > patience_ms then
      for run in pairs(runs) do late[#late + 1] = run end
    end
  end
  for _, run in ipairs(late) do
    settle(run)
    run.ended = true
    task.spawn(run.lost, true, {}, "did not go on")
  end
end

-- -- what a cell may say -------------------------------------------------------------------------------------------------------

-- By type, what was read is dealt with; false: this cell has no right to say it.
local deal = {}

-- Each ping has one answer.
function deal.pong(entry)
  if entry.pings == 0 then return false end
  entry.pings = entry.pings - 1
end

-- A version in a cell: { loaded = promise, asked_ms =, waiting = how many wait for it, size = | nil }.
local function forget_version(entry, hash)
  local version = entry.versions[hash]
  entry.versions[hash] = nil
  if version.size then entry.held.mapped_bytes = entry.held.mapped_bytes - version.size end
end

function deal.loaded(entry, hash, ok, text)
  local asked, version = entry.loads[hash], entry.versions[hash]
  if not asked then return false end
  entry.loads[hash] = asked > 1 and asked - 1 or nil
  if not version or version.loaded:given() then return end
  if ok then
    version.loaded:give(true)
  else
    forget_version(entry, hash)  -- first: who is told may ask for it once more, and that is a new try
    version.loaded:give(nil, { code = "invalid", text = text })
  end
end

function deal.checked(entry, _, ok, result)
  if not entry.checking then return false end
  entry.checking:give(ok, result)
end

function deal.hooked(entry, id, ok, result)
  local waiting = entry.hooks[id]
  local late = entry.late_hooks[id]
  if late then entry.late_hooks[id], entry.late_count = nil, entry.late_count - 1 end
  if not waiting then return late == true end  -- whoever asked has gone on without it
  entry.hooks[id] = nil
  entry.progress_ms = clock.mono_ms()
  waiting:give(ok, result)
end

-- Only of its own runs, in the visit they are in.
local function deal_with_run(kind)
  return function(entry, call, visit, ...)
    local run = entry.runs[call]
    if not heard.is_open(run, visit) then return end
    settle(run)
    if kind ~= "verb" then
      entry.progress_ms = clock.mono_ms()
      if entry.retired then entry.runs[call] = nil end  -- the call goes on in another cell
    end
    return heard.give(run, kind, visit, ...)
  end
end
deal.verb, deal.next, deal.failed = deal_with_run "verb", deal_with_run "next", deal_with_run "failed"

local function dealt(entry, kind, sound, ...)
  if not sound or not deal[kind] or deal[kind](entry, ...) == false then entry.cell:kill(heard.NONSENSE) end
end

local function on_message(entry, kind, ...)
  silence.broken(entry.quiet, clock.mono_ms())
  dealt(entry, kind, heard.read(kind, ...))
end

-- A zygote that does not answer leaves nobody on a silent line.
local function spawn(handlers)
  local made, on_ended, late = promise.new(), handlers.on_ended, false
  handlers.on_ended = function(...)
    if not late then on_ended(...) end  -- what nobody was given has not died on its tenant
  end
  task.spawn(function()
    local spawned, err = cell.spawn(handlers)
    late = made:given()
    if spawned and late then spawned:kill("came too late") else made:give(spawned, err) end
  end)
  local limit = timer.after(SPAWN_MS, function() made:give(nil, { code = "timeout", text = "no cell was made in time" }) end)
  local spawned, err = made:wait()
  limit:cancel()
  return spawned, err
end

-- -- looking after a cell: each second while anything is asked of it, and no longer. Thousands are at rest, or wait with their calls -------

local function is_unused(entry) return next(entry.runs) == nil and next(entry.hooks) == nil and entry.loading == 0 end

-- Ends a cell that was not used for IDLE_MS, or is not to be used again; looks again when that may be.
local function rest(entry)
  local unused = is_unused(entry)
  local unused_ms = unused and clock.mono_ms() - entry.idle_since_ms or 0
  if unused and entry.retired or unused_ms > IDLE_MS then
    entry_ended(entry, "idle", {})
    entry.cell:kill("idle")
    return
  end
  if entry.rest then return end
  entry.rest = timer.after(IDLE_MS - unused_ms + 1, function()
    entry.rest = nil
    if not entry.ended then rest(entry) end
  end)
end

-- A version that somebody waits for and that is not answered for: as a run that does not go on.
local function loads_late(entry, now)
  if entry.loading == 0 then return false end
  local patience_ms = watch.is_last(entry.held) and OWED_LAST_MS or OWED_MS
  for _, version in pairs(entry.versions) do
    if version.waiting > 0 and version.sent_ms and not version.loaded:given() and now - version.sent_ms > patience_ms then return true end
  end
  return false
end

local function ping(entry)
  if entry.ended then return end
  local now, dry_ms = clock.mono_ms(), entry.cell:dry_ms()
  if dry_ms > 0 then silence.broken(entry.quiet, now) end  -- what it says waits until we read it
  if dry_ms > FLOOD_MS and now - entry.progress_ms > FLOOD_MS then
    entry.cell:kill(FLOODED)
    return
  end
  if dry_ms == 0 and next(entry.owed) == nil and next(entry.hooks) == nil and entry.loading == 0 then
    entry.ping:cancel()
    entry.ping = nil
    rest(entry)
    return
  end
  if entry.held.stopped then silence.broken(entry.quiet, now) end  -- it cannot answer
  local cpu_s = entry.cell:usage()
  if entry.quiet.asked > 0 then silence.seen(entry.quiet, entry.cell:state() == "S") end
  if silence.is_guilty(entry.quiet, now, cpu_s, entry.held.slack_s, watch.is_last(entry.held)) then
    watch.kill(entry.held, "silent", "did not answer")
    return
  end
  if loads_late(entry, now) then
    watch.kill(entry.held, "silent", "did not load a version")
    return
  end
  if not entry.held.step then run_late_again(entry, now) end
  if entry.cell:send("ping", now) then entry.pings = entry.pings + 1 end
  silence.asked(entry.quiet, cpu_s)
end

-- Something is asked of it, or it says something.
local function look_after(entry)
  if entry.ping or entry.ended then return end
  silence.broken(entry.quiet, clock.mono_ms())
  if entry.held then watch.wake(entry.held) end
  entry.ping = timer.every(silence.PING_MS, function() ping(entry) end)
end

local function start(tenant)
  local began = clock.mono_ms()
  local entry = { tenant = tenant, versions = {}, loads = {}, loading = 0, pings = 0, quiet = silence.new(began),
                  runs = {}, hooks = {}, late_hooks = {}, late_count = 0, last_hook = 0, owed = {}, progress_ms = began, idle_since_ms = began }
  local spawned, err = spawn{
    budget = watch.budget(tenants.known(tenant.id) or tenant),  -- a call has the record of its beginning
    on_message = function(...)
      look_after(entry)
      on_message(entry, ...)
      if entry.retired and not entry.ended then rest(entry) end
    end,
    on_ended = function(why, page) entry_ended(entry, why, page) end,
  }
  if not spawned then return nil, err end
  if entry.ended then return nil, { code = "closed", text = "the cell ended at once" } end
  entry.cell = spawned
  entry.held = watch.add(spawned, tenant)
  metrics.count("cells_started_total", nil, 1, "cells that were started")
  local sent, problem = spawned:send("verbs", gate.stubs())
  if not sent then
    spawned:kill("could not be told anything")
    return nil, problem
  end
  look_after(entry)
  return entry
end

--- The tenant's cell, started when there is none. Single flight.
local opening, renewed = {}, {}  -- tenant id -> promise; -> true: renewed while it is being opened
local function open(tenant)
  local entry = by_tenant[tenant.id]
  if entry and not entry.ended then return entry end
  if opening[tenant.id] then return opening[tenant.id]:wait() end
  local flight = promise.new()
  opening[tenant.id] = flight
  local deaths = cells.deaths[tenant.id] or 0
  if deaths > 1 then task.sleep(math.min(BACK_OFF_MS * 2 ^ (deaths - 2), BACK_OFF_MAX_MS)) end
  local ok, found, err = pcall(start, tenant)
  if not ok then found, err = nil, { code = "io", text = tostring(found) } end
  if found then found.retired = renewed[tenant.id] end
  if found and deaths > 0 and not found.ended then watch.begin_last(found.held) end
  renewed[tenant.id] = nil
  if found and not found.retired then by_tenant[tenant.id] = found end
  opening[tenant.id] = nil
  flight:give(found, err)
  return found, err
end

--- Lets a tenant's next run begin in a cell of its own, with the budget it has then. What runs in the one there is ends there.
function cells.renew(tenant_id)
  local entry = by_tenant[tenant_id]
  if opening[tenant_id] then renewed[tenant_id] = true end
  if not entry then return end
  by_tenant[tenant_id], entry.retired = nil, true
  rest(entry)
end

-- A cell holds only so many versions: a tenant that is never idle and publishes often would have no room for the newest.
-- One that somebody waits for, calls run or a hook may be at work in stays.
local function unload_unused(entry, now)
  local used, count = {}, 0
  for _, run in pairs(entry.runs) do used[run.hash] = true end
  for _, waiting in pairs(entry.hooks) do used[waiting.hash] = true end
  for _ in pairs(entry.versions) do count = count + 1 end
  if count < VERSIONS then return end
  for hash, version in pairs(entry.versions) do
    if not used[hash] and version.waiting == 0 and (count >= VERSIONS_FULL or now - version.asked_ms > UNUSED_MS) then
      forget_version(entry, hash)
      entry.cell:send("unload", hash)
    end
  end
end

local function begin_loading(entry, tenant, hash)
  local version = entry.versions[hash]
  local ok, bytes = pcall(bundle_bytes, tenant, hash)
  local sent, err
  if ok and bytes then
    version.size = #bytes
    entry.held.mapped_bytes = entry.held.mapped_bytes + #bytes
    entry.loads[hash] = (entry.loads[hash] or 0) + 1
    sent, err = entry.cell:load(hash, bytes)
    version.sent_ms = clock.mono_ms()
    if not sent then entry.loads[hash] = entry.loads[hash] > 1 and entry.loads[hash] - 1 or nil end
  elseif ok then
    err = { code = "not_found", text = "bundle " .. hash:sub(1, 12) .. " is not stored" }
  else
    err = { code = "away", text = "the bundle cannot be read: " .. tostring(bytes) }
  end
  if sent or version.loaded:given() then return end
  forget_version(entry, hash)
  version.loaded:give(nil, err)
end

local function with_version(entry, tenant, hash)
  local now, version = clock.mono_ms(), entry.versions[hash]
  local is_new = not version
  if is_new then
    unload_unused(entry, now)
    version = { loaded = promise.new(), waiting = 0 }
    entry.versions[hash] = version
  end
  version.asked_ms, version.waiting, entry.loading = now, version.waiting + 1, entry.loading + 1
  look_after(entry)
  if is_new then begin_loading(entry, tenant, hash) end
  local loaded, err = version.loaded:wait()
  version.waiting, entry.loading = version.waiting - 1, entry.loading - 1
  return loaded, err
end

--- A cell of one's own to run flows in (cells.run_in): no call of anybody is in it, and nobody is told of its end but its runs.
--- Whoever asks for it ends it with cells.close. Returns an entry, or nil, err.
function cells.private(tenant)
  local entry, err = start(tenant)
  if entry then entry.private = true end
  return entry, err
end

--- Ends a private cell; its runs hear nothing.
function cells.close(entry)
  if entry.ended then return end
  entry.runs = {}
  entry_ended(entry, "idle", {})
  entry.cell:kill("idle")
end

--- Starts (or starts again) a state of a call's flow. Returns true, or nil, err; then the handler hears nothing.
--- @param run table  handler
function cells.run(tenant, hash, call, run, file, state, visit, data, info)
  local entry, err = open(tenant)
  if not entry then return nil, err end
  return cells.run_in(entry, tenant, hash, call, run, file, state, visit, data, info)
end

--- The same in a cell that is at hand.
function cells.run_in(entry, tenant, hash, call, run, file, state, visit, data, info)
  local ready, err = with_version(entry, tenant, hash)
  if not ready then return nil, err end
  -- The call has left while the cell was made; a newer run of it may be on its way already.
  if run.dropped then return nil, { code = "cancelled", text = "the call has left" } end
  entry.runs[call] = run
  run.entry, run.hash, run.owed_tick = entry, hash, nil
  heard.begin(run, visit)
  local sent
  sent, err = entry.cell:send("run", call, hash, file, state, visit, data, info)
  if not sent then
    entry.runs[call] = nil
    return nil, err
  end
  owe(run)
  look_after(entry)
  return true
end

--- Calls a function of a version's file (name "": the file's own value): true, result; false, { kind, text, file, line };
--- or nil, err when there is no cell to ask. Waits as long as that takes; who has less time does not wait for it.
function cells.hook(tenant, hash, file, name, input)
  local entry, err = open(tenant)
  if not entry then return nil, err end
  local ready
  ready, err = with_version(entry, tenant, hash)
  if not ready then return nil, err end
  if entry.late_count >= LATE_HOOKS then return nil, { code = "busy", text = "the cell has not answered what it was asked before" } end
  local id, waiting = entry.last_hook + 1, promise.new()
  waiting.hash = hash
  entry.last_hook, entry.hooks[id] = id, waiting
  look_after(entry)
  entry.idle_since_ms = clock.mono_ms()
  local sent
  sent, err = entry.cell:send("hook", id, hash, file, name, input)
  if not sent then
    entry.hooks[id] = nil
    return nil, err
  end
  -- One that is never answered would be remembered for as long as the cell lives.
  local limit = timer.after(HOOK_MS, function()
    entry.hooks[id], entry.late_hooks[id], entry.late_count = nil, true, entry.late_count + 1
    waiting:give(nil, { code = "timeout", text = "the cell did not answer" })
  end)
  local ok, result = waiting:wait()
  limit:cancel()
  return ok, result
end

--- Whether the tenant has a cell here at this moment.
function cells.is_open(tenant_id)
  local entry = by_tenant[tenant_id]
  return entry ~= nil and not entry.ended
end

--- Loads a version into the tenant's cell before a call asks for it. Does nothing where no cell runs. Returns whether the cell has it.
function cells.warm(tenant, hash)
  local entry = by_tenant[tenant.id]
  return entry ~= nil and not entry.ended and with_version(entry, tenant, hash) == true
end

--- Answers a verb of a run.
function cells.answer(call, run, visit, n, ok, value)
  local entry = run.entry
  if not entry or entry.ended then return nil, { code = "closed", text = "the cell has ended" } end
  local sent, err = entry.cell:send("answer", call, visit, n, ok, value)
  if not run.ended then
    owe(run)
    look_after(entry)
  end
  if not sent and err.code == "busy" then  -- its calls would wait for ever; a new cell runs them again
    entry.cell:kill("did not read")
  elseif not sent and err.code ~= "closed" then  -- the value did not fit: the script hears that instead
    return entry.cell:send("answer", call, visit, n, false, { code = err.code, text = err.text, raise = true })
  end
  return sent, err
end

--- The call has left: the cell may forget it.
function cells.drop(call, run)
  local entry = run.entry
  run.dropped = true
  if not entry or entry.ended or entry.runs[call] ~= run then return end
  settle(run)
  entry.runs[call] = nil
  entry.idle_since_ms = clock.mono_ms()
  entry.cell:send("drop", call)
  if entry.retired then rest(entry) end
end

-- A problem out of the place where a checking cell ended, if it had come to one.
local function ended_at(page, why)
  local known = page.file ~= nil and page.file ~= ""
  return { file = known and page.file or nil, line = known and page.line or nil, text = "the check " .. why .. (known and " here" or "") }
end

--- Checks a bundle in a cell of its own, which is ended afterwards. It comes last where processors are short.
--- @param files table|nil  names of files that are loaded besides flows and bundle.lua
--- @return table|nil  what CHECKED says, or nil, err
function cells.check(bytes, files)
  local entry = { tenant = { id = -1, slug = "(check)" }, versions = {}, loads = { new = 1 }, pings = 0, quiet = silence.new(clock.mono_ms()), runs = {}, hooks = {}, late_hooks = {} }
  local loading = promise.new()
  entry.versions.new = { loaded = loading }
  entry.checking = promise.new()
  local why_ended, page_ended
  local spawned, err = spawn{
    on_message = function(...) on_message(entry, ...) end,
    on_ended = function(why, page)
      entry.ended = true
      if entry.held then watch.drop(entry.held) end
      why_ended, page_ended = why, page
      loading:give(nil, { code = "invalid", text = "the cell " .. why })
      entry.checking:give(nil, nil)
    end,
  }
  if not spawned then return nil, err end
  entry.cell = spawned
  if not entry.ended then
    entry.held = watch.add(spawned, entry.tenant)
    entry.held.mapped_bytes = #bytes
    watch.last(entry.held)
  end
  spawned:send("verbs", gate.stubs())
  local starved
  local limit = timer.after(CHECK_MS, function()
    starved = (spawned:usage() or 0) < CHECK_CPU_S
    spawned:kill(("took longer than %d s"):format(CHECK_MS / 1000))
  end)
  local loaded, result = false, nil
  local sent
  sent, err = spawned:load("new", bytes)
  if sent then loaded, err = loading:wait() end
  if loaded then
    spawned:send("check", "new", files or {})
    local _
    _, result = entry.checking:wait()
  end
  limit:cancel()
  local died = entry.ended
  if not died then spawned:kill("checked") end
  if result then return heard.report(result) end
  if starved then return nil, { code = "busy", text = "The machine is too busy to check a bundle", retry_after_s = 30 } end
  if not died and err and err.code == "invalid" then  -- the cell could not load it, and said where
    local file, line, text = err.text:match("^([%w%._/-]+):(%d+): (.*)$")
    return { problems = { { file = file, line = tonumber(line), text = text or err.text } } }
  end
  if why_ended and page_ended then return { problems = { ended_at(page_ended, why_ended) } } end
  return nil, err or { code = "invalid", text = "the bundle could not be checked" }
end

return cells
