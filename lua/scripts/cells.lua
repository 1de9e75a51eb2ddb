-- SPDX-License-Identifier: Apache-2.0
--- The worker's cells: one process per tenant, started on first use, with the bundle versions its calls are pinned to.
---
--- A run belongs to a handler: { verb(visit, n, name, args), next(visit, name, data), failed(visit, kind, text, file, line),
--- lost(mine, page, why) }. When a cell dies every handler hears lost(); mine says that the page names its call as the one
--- that ran. Nothing a cell sends is trusted: C has checked its form, here its right is checked (only its own calls).
local cell = require "core.cell"
local gate = require "scripts.gate"
local log = require "core.log"
local metrics = require "core.metrics"
local operator = require "scripts.operator"
local promise = require "lib.promise"
local store = require "scripts.store"
local task = require "core.task"
local timer = require "core.timer"

local cells = {}

local PING_MS, SILENT_MS = 1000, 4000     -- a cell that runs and does not answer is ended
local IDLE_MS = 120000                    -- a cell without calls is ended
local SPAWN_MS = 5000                     -- the zygote takes less than one
local BACK_OFF_MS, BACK_OFF_MAX_MS = 100, 5000
local MESSAGES_A_SECOND = 5000            -- of one cell; a flow needs a few
local VERSIONS, UNUSED_MS = 8, 10000      -- with more than so many, those that no call has run of late are unloaded

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

local function entry_ended(entry, why, page)
  if entry.ended then return end
  entry.ended = true
  if by_tenant[entry.tenant.id] == entry then by_tenant[entry.tenant.id] = nil end
  if entry.ping then entry.ping:cancel() end
  local runs = entry.runs
  entry.runs = {}
  for _, waiting in pairs(entry.versions) do waiting:give(nil, { code = "closed", text = "the cell " .. why }) end
  for id, waiting in pairs(entry.hooks) do
    if page.running and page.call == "hook " .. id then
      waiting:give(false, { kind = "died", text = "the script's process " .. why, file = page.file, line = page.line })
    else
      waiting:give(nil, { code = "closed", text = "the cell " .. why })
    end
  end
  local count = 0
  for call, run in pairs(runs) do
    count = count + 1
    task.spawn(run.lost, page.running and page.call == call, page, why)
  end
  if entry.private then return end
  metrics.count("cells_ended_total", { why = why == "idle" and "idle" or "died" }, 1, "cells that ended")
  if why ~= "idle" then
    log.warn("cell.ended", { tenant = entry.tenant.slug, why = why, calls = count, call = page.call, file = page.file, line = page.line })
    local memory = entry.tenant.id
    cells.deaths[memory] = (cells.deaths[memory] or 0) + 1
    timer.after(60000, function() cells.deaths[memory] = (cells.deaths[memory] or 1) - 1 end)
  end
end
cells.deaths = {}

local function on_message(entry, kind, first, ...)
  local now = require("core.clock").mono_ms()
  entry.heard_ms = now
  if now - entry.second_ms >= 1000 then entry.second_ms, entry.messages = now, 0 end
  entry.messages = entry.messages + 1
  if entry.messages > MESSAGES_A_SECOND then
    entry.cell:kill("sent too many messages")
    return
  end
  if kind == "pong" then return end
  if kind == "loaded" then
    local waiting = entry.versions[first]
    local ok, text = ...
    if waiting then
      if ok then waiting:give(true) else waiting:give(nil, { code = "invalid", text = tostring(text) }) end
    end
    return
  end
  if kind == "checked" then
    local ok, result = ...
    if entry.checking then entry.checking:give(ok, result) end
    return
  end
  if kind == "hooked" then
    local waiting = first ~= nil and entry.hooks[first]
    if waiting then
      entry.hooks[first] = nil
      waiting:give(...)
    end
    return
  end
  local run = entry.runs[first]
  if not run then return end  -- a call that has left meanwhile, or an invented one
  if kind == "verb" then run.verb(...)
  elseif kind == "next" then run.next(...)
  elseif kind == "failed" then run.failed(...) end
end

-- A zygote that does not answer leaves nobody on a silent line.
local function spawn(handlers)
  local made = promise.new()
  task.spawn(function()
    local spawned, err = cell.spawn(handlers)
    if spawned and made:given() then spawned:kill("came too late") else made:give(spawned, err) end
  end)
  local limit = timer.after(SPAWN_MS, function() made:give(nil, { code = "timeout", text = "no cell was made in time" }) end)
  local spawned, err = made:wait()
  limit:cancel()
  return spawned, err
end

local function start(tenant)
  local clock = require "core.clock"
  local entry = { tenant = tenant, versions = {}, asked_ms = {}, loading = 0, runs = {}, hooks = {}, last_hook = 0, heard_ms = clock.mono_ms(), second_ms = 0, messages = 0,
                  idle_since_ms = clock.mono_ms() }
  local spawned, err = spawn{
    on_message = function(...) on_message(entry, ...) end,
    on_ended = function(why, page) entry_ended(entry, why, page) end,
  }
  if not spawned then return nil, err end
  entry.cell = spawned
  metrics.count("cells_started_total", nil, 1, "cells that were started")
  local sent, problem = spawned:send("verbs", gate.stubs())
  if not sent then return nil, problem end
  entry.ping = timer.every(PING_MS, function()
    if entry.ended then return end
    local now = clock.mono_ms()
    if next(entry.runs) == nil and next(entry.hooks) == nil and entry.loading == 0 then
      if now - entry.idle_since_ms > IDLE_MS then
        entry_ended(entry, "idle", {})
        spawned:kill("idle")
      end
    else
      entry.idle_since_ms = now
      if now - entry.heard_ms > SILENT_MS then
        spawned:kill("did not answer")
        return
      end
    end
    spawned:send("ping", now)
  end)
  return entry
end

--- The tenant's cell, started when there is none. Single flight.
local opening = {}
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
  if found then by_tenant[tenant.id] = found end
  opening[tenant.id] = nil
  flight:give(found, err)
  return found, err
end

-- A cell holds only so many versions: a tenant that is never idle and publishes often would have no room for the newest.
local function unload_unused(entry, now)
  local used, count = {}, 0
  for _, run in pairs(entry.runs) do used[run.hash] = true end
  for _ in pairs(entry.versions) do count = count + 1 end
  if count < VERSIONS then return end
  for hash in pairs(entry.versions) do
    if not used[hash] and now - entry.asked_ms[hash] > UNUSED_MS then
      entry.versions[hash], entry.asked_ms[hash] = nil, nil
      entry.cell:send("unload", hash)
    end
  end
end

local function with_version(entry, tenant, hash)
  local now = require("core.clock").mono_ms()
  entry.asked_ms[hash] = now
  if not entry.versions[hash] then
    unload_unused(entry, now)
    local flight = promise.new()
    entry.versions[hash] = flight
    local ok, bytes = pcall(bundle_bytes, tenant, hash)
    if not ok or not bytes then
      entry.versions[hash] = nil
      local err = not ok and { code = "away", text = "the bundle cannot be read: " .. tostring(bytes) }
        or { code = "not_found", text = "bundle " .. hash:sub(1, 12) .. " is not stored" }
      flight:give(nil, err)
      return nil, err
    end
    local sent, err = entry.cell:load(hash, bytes)
    if not sent then
      entry.versions[hash] = nil
      flight:give(nil, err)
      return nil, err
    end
  end
  entry.loading = entry.loading + 1
  local loaded, err = entry.versions[hash]:wait()
  entry.loading = entry.loading - 1
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
  run.entry, run.hash = entry, hash
  local sent
  sent, err = entry.cell:send("run", call, hash, file, state, visit, data, info)
  if not sent then
    entry.runs[call] = nil
    return nil, err
  end
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
  local id, waiting = entry.last_hook + 1, promise.new()
  entry.last_hook, entry.hooks[id] = id, waiting
  entry.idle_since_ms = require("core.clock").mono_ms()
  local sent
  sent, err = entry.cell:send("hook", id, hash, file, name, input)
  if not sent then
    entry.hooks[id] = nil
    return nil, err
  end
  return waiting:wait()
end

--- Answers a verb of a run.
function cells.answer(call, run, visit, n, ok, value)
  local entry = run.entry
  if not entry or entry.ended then return nil, { code = "closed", text = "the cell has ended" } end
  local sent, err = entry.cell:send("answer", call, visit, n, ok, value)
  if not sent and err.code ~= "closed" then  -- the value did not fit: the script hears that instead
    return entry.cell:send("answer", call, visit, n, false, { code = err.code, text = err.text, raise = true })
  end
  return sent, err
end

--- The call has left: the cell may forget it.
function cells.drop(call, run)
  local entry = run.entry
  run.dropped = true
  if not entry or entry.ended or entry.runs[call] ~= run then return end
  entry.runs[call] = nil
  entry.idle_since_ms = require("core.clock").mono_ms()
  entry.cell:send("drop", call)
end

-- A problem out of the place where a checking cell ended, if it had come to one.
local function ended_at(page, why)
  local known = page.file ~= nil and page.file ~= ""
  return { file = known and page.file or nil, line = known and page.line or nil, text = "the check " .. why .. (known and " here" or "") }
end

--- Checks a bundle in a cell of its own, which is ended afterwards.
--- @param files table  names of files that are loaded besides flows and bundle.lua
--- @return table|nil  what CHECKED says, or nil, err
function cells.check(bytes, files)
  local clock = require "core.clock"
  local entry = { tenant = { id = -1, slug = "(check)" }, versions = {}, runs = {}, hooks = {}, heard_ms = clock.mono_ms(), second_ms = 0, messages = 0 }
  entry.versions.new = promise.new()
  entry.checking = promise.new()
  local why_ended, page_ended
  local spawned, err = spawn{
    on_message = function(...) on_message(entry, ...) end,
    on_ended = function(why, page)
      entry.ended = true
      why_ended, page_ended = why, page
      entry.versions.new:give(nil, { code = "invalid", text = "the cell " .. why })
      entry.checking:give(nil, { problems = { ended_at(page, why) } })
    end,
  }
  if not spawned then return nil, err end
  entry.cell = spawned
  spawned:send("verbs", gate.stubs())
  local limit = timer.after(10000, function() spawned:kill("took longer than 10 s") end)
  local loaded, result = false, nil
  local sent
  sent, err = spawned:load("new", bytes)
  if sent then loaded, err = entry.versions.new:wait() end
  if loaded then
    spawned:send("check", "new", files)
    local ok
    ok, result = entry.checking:wait()
    if ok == nil and result == nil then result = nil end
  end
  limit:cancel()
  local died = entry.ended
  if not died then spawned:kill("checked") end
  if result then
    result.problems = result.problems or {}
    return result
  end
  if not died and err and err.code == "invalid" then  -- the cell could not load it, and said where
    local file, line, text = err.text:match("^([%w%._/-]+):(%d+): (.*)$")
    return { problems = { { file = file, line = tonumber(line), text = text or err.text } } }
  end
  if why_ended and page_ended then
    return { problems = { ended_at(page_ended, why_ended) } }
  end
  return nil, err or { code = "invalid", text = "the bundle could not be checked" }
end

return cells
