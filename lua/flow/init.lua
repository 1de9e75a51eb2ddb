-- SPDX-License-Identifier: Apache-2.0
--- Runs a tenant's flow: which state, which visit, and for each verb the journal before the answer.
---
--- An instance is (kind, id); a call makes one. It gives:
---   id, tenant, hash, file      whose flow, which version, which file of it
---   state, visit, data          where it stands (kept in its head)
---   journal                     of this visit (flow.journal)
---   permissions                 of its bundle.lua: what is false in it is refused; or nil
---   verbs                       name -> function(instance, args, entry) -> value | nil, err; may wait
---   info()                      what the cell is told of it
---   keep(fields, drop)          writes to the record: true | nil, err
---   visited(how)                its visit has ended: { next = state } | { done = true, data = } | { failed = kind, text =, file =,
---                               line = } | { left = why }; data and journal are still those of the visit
---   head()                      the head as it is kept
---   moved()                     a new state was entered
---   finished()                  the flow has ended by itself
---   failed(kind, text, file, line)   it cannot go on: the fallback is next
--- and, when it is only played through (the simulator does):
---   virtual                     nothing of it is counted, slowed down, kept or logged by the worker, and its verbs wait for no clock
---   payer                       whose share of the worker its verbs take, like a tenant: { id, limits }; or nil
---   cells, log                  where it runs, and fn(tenant, entry) for what went wrong, instead of scripts.cells and scripts.log
--- An instance that is `over` (its call ended, or is another worker's) is not touched any more.
local cells = require "scripts.cells"
local clock = require "core.clock"
local fault = require "core.fault"
local gate = require "scripts.gate"
local journal = require "flow.journal"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local quota = require "scripts.quota"
local script_log = require "scripts.log"
local scripts = require "scripts"
local task = require "core.task"
local tenants = require "tenants"
local text_of = require "lib.text"
local timer = require "core.timer"

local flow = {}

flow.STRIKES = 2             -- so many deaths of its process while a call ran, and it goes to its fallback
local LOSSES = 4  -- deaths of the cell in one visit, whichever call ran: a cell that is taken over names another, or nobody
flow.DATA_MAX = 16 * 1024    -- of call.data, as JSON
local FAST_VISITS, FAST_VERBS, SLOW_MS = 60, 60, 100  -- so many within a second, then each waits
local START_TRIES = { closed = 3, away = 40, busy = 20 }  -- of a run: its cell died meanwhile; the database is away (some 20 s); the cell does not read
local FAILURES = { error = true, cpu = true, memory = true, form = true }  -- what a cell may say of a run

local function entry_name(instance, n) return ("j%d.%d"):format(instance.visit, n) end

local function cells_of(instance) return instance.cells or cells end
local function note(instance, entry) (instance.log or scripts.log)(instance.tenant, entry) end

local function fail(instance, kind, text, file, line)
  if instance.over then return end
  instance:visited(FAILURES[kind] and { failed = kind, text = text, file = file, line = line } or { left = kind })
  if instance.run then cells_of(instance).drop(instance.id, instance.run) end
  instance.run = nil
  if not instance.virtual then metrics.count("flow_failures_total", { kind = kind }, 1, "flows that could not go on") end
  instance:failed(kind, text, file, line)
end

-- n as the journal counts; a run counts its mistakes too, which no journal holds.
local function answer(instance, n, ok, value)
  local run = instance.run
  if instance.over or not run then return end
  cells_of(instance).answer(instance.id, run, instance.visit, n + run.mistakes, ok, value)
end

local function answer_mistake(instance, n, text)
  answer(instance, n, false, { code = "invalid", text = text, raise = true })
  if instance.run then instance.run.mistakes = instance.run.mistakes + 1 end
end

-- A flow that runs from state to state without doing anything, or writes lines and leads without end, would keep worker,
-- database and cell busy that others need too.
local function slow_down(instance, what, most)
  if instance.virtual then return end
  local now, paces = clock.mono_ms(), instance.paces or {}
  instance.paces = paces
  local pace = paces[what]
  if not pace or now - pace.since > 1000 then
    pace = { since = now, count = 0 }
    paces[what] = pace
  end
  pace.count = pace.count + 1
  if pace.count > most then task.sleep(SLOW_MS) end
end

-- The tenant's share of this worker, over all its calls: what is refused or replayed takes as much of it as what acts.
local function wait_for_share(instance, cost)
  local tenant = instance.tenant
  local payer = instance.payer or not instance.virtual and (tenants.known(tenant.id) or tenant)  -- a call has the record of its beginning
  if not payer then return end
  local wait_ms, tell = quota.take(payer, cost, clock.mono_ms())
  if tell and not instance.virtual then
    local text = ("the calls together ask for more than %d verbs a second in one worker, so answers wait; let flows ask less often "
      .. "(loops around log, now and short waits cost most) or have limits.verbs_per_second raised"):format(quota.per_second(payer))
    task.spawn(scripts.log, tenant, { level = "warn", call_id = instance.row_id, state = instance.state, bundle_hash = instance.hash, text = text })
  end
  if wait_ms == 0 then return end
  metrics.observe("script_quota_wait_seconds", nil, wait_ms / 1000, "time that verbs waited for their tenant's share of a worker")
  task.sleep(wait_ms)
end

-- Writes that a verb has begun, or what came of it. Returns true, or nil, err.
local function write(instance, n, entry, fields, drop)
  if instance.virtual then return true end
  fields[entry_name(instance, n)] = entry
  return instance:keep(fields, drop)
end

-- How large a result is in the journal.
local function size_of(value)
  if type(value) == "table" or type(value) == "string" then return #json.encode(value) end
  return 8
end

-- What comes back to the script, kept as it was given.
local function finish(instance, visit, n, entry, ok, value)
  if instance.over or instance.visit ~= visit then return end
  local small = instance.journal:finish(n, ok, value, size_of(value) + 96)
  -- What the verb consumed (digits) goes in the same write: it is never consumed twice.
  local fields = instance.consumed and instance.consumed() or {}
  instance.consumed = nil
  fault.point("verb.done")
  local kept, err = write(instance, n, journal.kept(entry), fields)
  fault.point("verb.result_written")
  if not kept and err.code == "stale" then return end  -- another worker has the call: it acts, not we
  if instance.over or instance.visit ~= visit then return end
  if not small then
    return fail(instance, "journal", ("the verbs of a state may give back at most %d KiB; return the name of a state to begin anew")
      :format(journal.MAX_BYTES / 1024))
  end
  answer(instance, n, ok, value)
end

local function act(instance, n, name, args, entry, acting)
  local visit, seconds = instance.visit, gate.verb(name).timeout
  -- Whatever hangs, nobody is kept on a line with nothing on it.
  local limit = not instance.virtual and timer.after(seconds * 1000, function()
    if instance.acting ~= acting or instance.visit ~= visit then return end
    fail(instance, "timeout", ("%s took longer than %g s"):format(name, seconds))
  end)
  local ok, value, err = pcall(instance.verbs[name], instance, args, entry, n)
  if limit then limit:cancel() end
  if instance.acting == acting then instance.acting = nil end
  if not ok then
    log.error("verb.failed", { call = instance.id, tenant = instance.tenant.slug, verb = name, text = tostring(value) })
    value, err = nil, { code = "internal", text = "something went wrong on our side" }
  end
  if instance.visit ~= visit then return end
  if not ok and gate.verb(name).always then return fail(instance, "internal", err.text) end  -- a script does not look for its failure
  -- The caller went away, the call moved to another worker, or a human was asked for: nobody is there to be answered.
  if err and (err.code == "frozen" or err.code == "cut" or err.code == "gone" and not instance.ending) then return end
  if value == nil and err then
    if not instance.virtual then log.info("verb.refused", { call = instance.id, verb = name, code = err.code }) end  -- the text may name a number
    finish(instance, visit, n, entry, false, { code = gate.code(name, err.code), text = err.text })
  else
    finish(instance, visit, n, entry, true, value)
  end
end

-- What acts only once cannot be forgotten.
local function forgettable(entries, n)
  for k = n, #entries.entries do
    local verb = gate.verb(entries.entries[k].name)
    if not verb or verb.resume == "once" then return false end
  end
  return true
end

local function on_verb(instance, visit, n, name, args, file, line)
  if instance.over or visit ~= instance.visit then return end
  local declared = gate.verb(name)
  wait_for_share(instance, declared and declared.cost or 1)
  if instance.over or visit ~= instance.visit or not instance.run then return end
  n = n - instance.run.mistakes
  local checked, problem = gate.check(name, args, instance.permissions)
  if not checked then return answer_mistake(instance, n, problem) end
  local arguments, given = journal.arguments(args, instance.virtual)
  if not arguments then return answer_mistake(instance, n, name .. ": " .. given) end
  local what, entry = instance.journal:ask(n, name, arguments, given)
  if what == "replay" and entry.secret and entry.value == journal.SECRET then
    -- Only that it was done is known to whoever takes the call up: it is asked again, what follows is replayed.
    what, entry.done, instance.asked_again = "resume", false, visit
  end
  local forgotten
  if what == "diverged" and instance.asked_again == visit and forgettable(instance.journal, n) then
    -- The answer was another one this time, so the state goes another way from here.
    forgotten = instance.journal:forget_from(n)
    for i, k in ipairs(forgotten) do forgotten[i] = entry_name(instance, k) end
    what, entry = instance.journal:ask(n, name, arguments, given)
  end
  if what == "replay" then
    return answer(instance, n, entry.ok, entry.value)
  elseif what == "diverged" then
    return fail(instance, "diverged", ("the state asked for %s where it had asked for %s before; "
      .. "a state that is run again must do the same, so take time and chance only from call:now and math.random"):format(name, tostring(entry.name)), flow.place(file, line))
  elseif what == "full" then
    return fail(instance, "journal", ("a state may use at most %d verbs; return the name of a state to begin anew"):format(journal.MAX_ENTRIES))
  elseif what == "resume" then
    if instance.acting and instance.acting.n == n then return end  -- it is being done; the answer goes to whoever runs the state then
    entry.resumed = true
  end
  local acting = { n = n }
  instance.acting = acting
  local stale = false
  if what == "begin" then
    local kept, err = write(instance, n, entry, {}, forgotten)
    fault.point("verb.begun")
    stale = not kept and err.code == "stale"
  end
  if not stale then slow_down(instance, "verbs", FAST_VERBS) end
  if stale or instance.over or instance.visit ~= visit then
    if instance.acting == acting then instance.acting = nil end
    return
  end
  act(instance, n, name, checked, entry, acting)
end

-- A successor reads JSON: lists, and tables whose keys are text, come back as they were.
local function comes_back(value)
  if type(value) ~= "table" then return true end
  local is_list = json.is_array(value)
  for key, item in pairs(value) do
    if not (is_list or type(key) == "string") or not comes_back(item) then return false end
  end
  return true
end

-- One line for the script's author, or nil.
local function data_problem(data)
  local ok, text = pcall(json.encode, data)
  if not ok then return "call.data cannot be kept: " .. tostring(text):gsub("^.-:%d+: ", "") end
  if not comes_back(data) then return "call.data can keep lists and tables whose keys are text; a table in it has other keys" end
  if #text > flow.DATA_MAX then return ("call.data holds more than %d KiB"):format(flow.DATA_MAX / 1024) end
end

--- Where a cell says that something stands: file, line; each nil when that is nothing.
function flow.place(file, line)
  file, line = file and file ~= "" and text_of.clean(tostring(file), 128) or nil, tonumber(line)
  if line and not (line > 0 and line < 2 ^ 31) then line = nil end
  return file, line
end

--- Why a state cannot have ended as it did, for the script's author, or nil.
function flow.next_problem(state, data)
  local problem = data_problem(data)
  if problem then return problem end
  if type(state) == "string" and (#state > 64 or not state:match("^[%a_][%w_]*$")) then
    return "a state's name is a word of at most 64 letters, digits and _"
  end
end

-- A run that ends while a verb is under way is not the one that asked for it: it was run again and went another way.
local function acts_still(instance)
  if not instance.acting then return false end
  fail(instance, "diverged", "the state ended where it had asked for a verb before that is still under way; "
    .. "a state that is run again must do the same")
  return true
end

local function on_next(instance, visit, state, data)
  if instance.over or visit ~= instance.visit or acts_still(instance) then return end
  if type(data) ~= "table" then data = {} end
  local problem = flow.next_problem(state, data)
  if problem then return fail(instance, "form", problem) end
  instance:visited(type(state) == "string" and not instance.ending and { next = state } or { done = true, data = data })
  instance.data = data
  if instance.ending then
    instance.over = true
    cells_of(instance).drop(instance.id, instance.run)
    return instance:finished()
  end
  -- Where `failed` ran (or there is none) and the call is still up, the fallback is next: nobody is left without an answer.
  if instance.failing and type(state) ~= "string" then
    local first = instance.first_failure or {}
    return fail(instance, first[2] or "error", first[3] or instance.error_text, first[4] or nil, first[5] or nil)
  end
  if type(state) ~= "string" then
    cells_of(instance).drop(instance.id, instance.run)
    instance.run = nil
    return instance:finished()
  end
  flow.enter(instance, state)
end

local function on_failed(instance, visit, kind, text, file, line, trace)
  if instance.over or visit ~= instance.visit or acts_still(instance) then return end
  kind, text = FAILURES[kind] and kind or "form", text_of.clean(tostring(text), 2000)
  file, line = flow.place(file, line)
  instance:visited{ failed = kind, text = text, file = file, line = line }
  -- A flow without a state `failed` gives the same error back: it has been logged once.
  if not (instance.state == "failed" and text == instance.error_text) then
    note(instance, { level = "error", call = instance.id, call_id = instance.row_id, state = instance.state, bundle_hash = instance.hash,
      file = file, line = line, text = text, trace = script_log.trace(trace) })
  end
  -- An error may be dealt with by the script's own state `failed`, once.
  if kind == "error" and not instance.failing and not instance.ending then
    instance.failing = true
    instance.error_text = text
    return flow.enter(instance, "failed", { instance.state, kind, text, file or false, line or false })
  end
  local first = instance.first_failure
  if first and instance.failing then kind, text, file, line = first[2], first[3], first[4] or nil, first[5] or nil end
  fail(instance, kind, text, file, line)
end

local function on_lost(instance, mine, page, why)
  if instance.over then return end
  instance.run = nil
  instance.losses = (instance.losses or 0) + 1
  if mine then
    instance.strikes = (instance.strikes or 0) + 1
    instance:keep{ head = instance:head() }
  end
  local last = (instance.strikes or 0) >= flow.STRIKES or instance.losses >= LOSSES
  local named = mine and page.call
  if named or last then
    local place = named and (" while this call ran at %s:%s"):format(page.file or "?", tostring(page.line or "?")) or ", and this call with it"
    note(instance, { level = "error", call = instance.id, call_id = instance.row_id, state = instance.state, bundle_hash = instance.hash,
      file = named and page.file or nil, line = named and page.line or nil, text = "the script's process " .. why .. place })
  end
  if last then
    local times = instance.losses >= LOSSES and "again and again" or "twice"
    return fail(instance, "strikes", ("the script's process died %s while it ran this call"):format(times), named and page.file or nil, named and page.line or nil)
  end
  flow.resume(instance)
end

local function handler(instance)
  -- Nobody waits on a line because of a mistake of ours.
  local function safe(deal)
    return function(...)
      local ok, err = pcall(deal, instance, ...)
      if ok then return end
      log.error("flow.broke", { call = instance.id, tenant = instance.tenant.slug, text = tostring(err) })
      fail(instance, "internal", "something went wrong on our side")
    end
  end
  local run = { mistakes = 0, verb = safe(on_verb), next = safe(on_next), failed = safe(on_failed) }
  local lost = safe(on_lost)
  function run.lost(...)
    if instance.run == run then lost(...) end  -- else the call has gone on elsewhere
  end
  return run
end

--- Runs the state the instance stands in, from its beginning; what its journal holds is not done again.
function flow.resume(instance)
  if instance.over then return end
  local run = handler(instance)
  instance.run = run
  local visit = instance.visit
  local ok, err = cells_of(instance).run(instance.tenant, instance.hash, instance.id, run, instance.file, instance.state, visit,
    instance.data, instance:info())
  if ok then instance.lost_starts = nil end
  if ok or instance.over or instance.run ~= run or instance.visit ~= visit then return end
  local patience = START_TRIES[err.code]
  if patience then
    instance.lost_starts = (instance.lost_starts or 0) + 1
    if instance.lost_starts <= patience then
      task.sleep(math.min(100 * instance.lost_starts, 500))
      if instance.run ~= run or instance.visit ~= visit then return end
      return flow.resume(instance)
    end
  end
  fail(instance, "cell", err.text)
end

--- Enters a state: a new visit with an empty journal.
--- @param failure table|nil  why `failed` is entered: { state, kind, text, file, line }
function flow.enter(instance, state, failure)
  if instance.over then return end
  local drop = {}
  for n = 1, instance.virtual and 0 or #instance.journal.entries do drop[n] = entry_name(instance, n) end
  instance.visit = instance.visit + 1
  instance.state = state
  instance.journal = journal.new()
  instance.acting = nil
  instance.first_failure = failure or instance.first_failure
  instance.losses = 0
  local visit = instance.visit
  slow_down(instance, "visits", FAST_VISITS)
  wait_for_share(instance, 1)
  if instance.over or instance.visit ~= visit then return end
  instance:moved()
  local kept, err = instance:keep({ head = instance:head() }, drop)
  fault.point("flow.state_entered")
  if not kept and err.code == "stale" then return end
  flow.resume(instance)
end

--- The caller is gone: the running state is not resumed, the state `ended` runs once.
function flow.ended(instance, why)
  if instance.over or instance.ending then return end
  instance:visited{ left = why or "gone" }
  if instance.run then cells_of(instance).drop(instance.id, instance.run) end
  instance.ending = true
  instance.why = why
  if not instance.hash or instance.fallen then
    instance.over = true
    return instance:finished()
  end
  flow.enter(instance, "ended")
end

--- The call is another worker's now: nothing is done for it here any more.
function flow.leave(instance)
  instance.over = true
  if instance.run then cells_of(instance).drop(instance.id, instance.run) end
  instance.run = nil
end

return flow
