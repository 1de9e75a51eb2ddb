-- SPDX-License-Identifier: Apache-2.0
--- Runs the history of a call again, in a cell of its own and without acting: each verb is answered with what it was answered
--- then. Where the script asks for something else, or goes on to another state, it is said: which visit, where in which file,
--- what was recorded and what is done now. The version that ran decides the same again; another one shows what it changes.
---
--- What has been recorded after a difference was decided by the other way, so the visit ends there and the next recorded one
--- begins with the data it had.
local cells = require "scripts.cells"
local checks = require "scripts.checks"
local clock = require "core.clock"
local flow = require "flow"
local gate = require "scripts.gate"
local journal = require "flow.journal"
local json = require "core.json"
local promise = require "lib.promise"
local text_of = require "lib.text"
local timer = require "core.timer"

local replay = {}

replay.DIFFERENCES = 50
local VISIT_MS, ALL_MS = 10000, 30000
local CELLS = 3            -- that may end under one replay
local BYTES = 1024 * 1024  -- that a history takes at most, about

-- comparing ------------------------------------------------------------------------------------------------------------------

-- Where two values of JSON differ: "lead.score", one, other; nothing when they do not.
local function differs(one, other, path)
  if type(one) ~= "table" or type(other) ~= "table" then
    if one ~= other then return path, one, other end
    return nil
  end
  for key, value in pairs(one) do
    local at, a, b = differs(value, other[key], path .. "." .. tostring(key))
    if at then return at, a, b end
  end
  for key, value in pairs(other) do
    if one[key] == nil then return path .. "." .. tostring(key), nil, value end
  end
end

local Watch = {}
Watch.__index = Watch

--- Watches one visit that is run again. Pure.
---   watch:verb(name, args, file, line) -> ok, value    what the script is to be answered; nothing when the visit is over
---   watch:next(state, data, file, line), watch:failed(kind, text, file, line)
---   watch.difference   { visit, state, n, recorded, now, file, line } or nil
---   watch.unknown      the difference may be one of a secret's, which nobody knows any more
--- @param visit table  as recorded (calls.history)
--- @param following table|nil  the recorded visit after it
--- @param permissions table|nil  of the bundle that is run
function replay.watch(visit, following, permissions)
  return setmetatable({ visit = visit, following = following, permissions = permissions, n = 0 }, Watch)
end

function Watch:differ(recorded, now, file, line)
  self.over = true
  self.unknown = self.secret
  self.difference = { visit = self.visit.visit, state = self.visit.state, n = self.n, recorded = recorded, now = now, file = file, line = line }
end

local function verb_shown(entry) return { verb = entry.name, args = entry.given } end

-- How the recorded visit ended, as a difference shows it.
local function how_shown(how)
  if how.next then return { next = how.next } end
  if how.failed then return { failed = how.failed, text = how.text, file = how.file, line = how.line } end
  if how.left then return { left = how.left } end
  return { done = true }
end

-- Did the visit go on here for longer than is known? Then nothing can be said of what comes next.
local function ends_unseen(visit) return visit.how.left ~= nil or visit.cut ~= nil end

function Watch:verb(name, args, file, line)
  if self.over then return end
  local hash, given = journal.arguments(args)
  local checked, problem = gate.check(name, args, self.permissions)
  if checked and not hash then checked, problem = nil, name .. ": " .. given end
  -- A mistake of the script is not recorded: it hears of it and nothing is done.
  if not checked then return false, { code = "invalid", text = problem, raise = true } end
  local recorded = self.visit.verbs[self.n + 1]
  local same = recorded and recorded.name == name and recorded.args == hash
  self.n = self.n + 1
  if not recorded and ends_unseen(self.visit) then
    self.over = true
  elseif not same then
    self:differ(recorded and verb_shown(recorded) or how_shown(self.visit.how), { verb = name, args = given }, file, line)
  elseif not recorded.done then
    self.over = true  -- the caller had gone, or somebody else took over, while it was done
  else
    if recorded.secret and recorded.value == journal.SECRET then self.secret = true end
    return recorded.ok, recorded.value
  end
end

-- The visit has ended, and not at a verb: true when it might have been then too.
function Watch:ended(now, file, line)
  if self.over then return false end
  local left_out = self.visit.verbs[self.n + 1]
  if left_out then
    self.n = self.n + 1
    self:differ(verb_shown(left_out), now, file, line)
    return false
  end
  if ends_unseen(self.visit) then self.over = true end
  return not self.over
end

function Watch:next(state, data, file, line)
  local now = type(state) == "string" and { next = state } or { done = true }
  local problem = flow.next_problem(state, data)
  if problem then return self:failed("form", problem, file, line) end
  if not self:ended(now, file, line) then return end
  local how = self.visit.how
  if how.next ~= now.next or how.failed then return self:differ(how_shown(how), now, file, line) end
  self.over = true
  local before = how.done and how.data or (self.following and self.following.data)
  if not before then return end
  local path, one, other = differs(before, json.decode(json.encode(data)), "call.data")
  if path then self:differ({ data = path, value = one }, { data = path, value = other }, file, line) end
end

function Watch:failed(kind, text, file, line)
  kind, text = text_of.clean(tostring(kind), 16), text_of.clean(tostring(text), 2000)
  local now, how = { failed = kind, text = text, file = file, line = line }, self.visit.how
  if not self:ended(now, file, line) then return end
  if how.failed ~= kind or kind == "error" and how.text ~= text then return self:differ(how_shown(how), now, file, line) end
  self.over = true
end

-- running --------------------------------------------------------------------------------------------------------------------

local function run_visit(entry, tenant, hash, recorded, watch)
  local visit, ended = watch.visit, promise.new()
  local call = recorded.info.id
  local run = {}
  -- Messages of another visit are of a run that is over.
  local function mine(deal)
    return function(number, ...)
      if number ~= visit.visit or watch.over then return end
      deal(...)
      if watch.over then ended:give(true) end
    end
  end
  run.verb = mine(function(n, name, args, file, line)
    if type(n) ~= "number" or type(name) ~= "string" or type(args) ~= "table" then return end
    local ok, value = watch:verb(name, args, flow.place(file, line))
    if ok ~= nil then cells.answer(call, run, visit.visit, n, ok, value) end
  end)
  run.next = mine(function(state, data, file, line) watch:next(state, type(data) == "table" and data or {}, flow.place(file, line)) end)
  run.failed = mine(function(kind, text, file, line) watch:failed(kind, text, flow.place(file, line)) end)
  run.lost = function(_, page, why)
    watch:failed("lost", "the script's process " .. why, flow.place(page.file, page.line))
    watch.over = true
    ended:give(true)
  end
  local info = { seed = journal.seed(recorded.seed, visit.visit), why = visit.why, error = visit.error }
  for name, value in pairs(recorded.info) do info[name] = value end
  local ok, err = cells.run_in(entry, tenant, hash, call, run, recorded.file, visit.state, visit.visit, visit.data, info)
  if not ok then return nil, err end
  local limit = timer.after(VISIT_MS, function() entry.cell:kill("ran for longer than 10 s") end)
  ended:wait()
  limit:cancel()
  cells.drop(call, run)
  return true
end

local function shown(watch)
  local visit = watch.visit
  local verbs = json.array{}
  for i, entry in ipairs(visit.verbs) do
    verbs[i] = { verb = entry.name, args = entry.given, ok = entry.ok, value = entry.value, done = entry.done, secret = entry.secret }
  end
  return { visit = visit.visit, state = visit.state, verbs = verbs, how = how_shown(visit.how), cut = visit.cut, difference = watch.difference,
    result = watch.unknown and "unknown" or watch.difference and "different" or "same" }
end

local function run_all(tenant, recorded, hash, permissions, own)
  local result = { same = true, version = hash, recorded = recorded.hash, visits = json.array{}, differences = json.array{} }
  local ends, left = clock.mono_ms() + ALL_MS, CELLS
  for i, visit in ipairs(recorded.visits) do
    if clock.mono_ms() > ends then result.stopped = "it took longer than 30 s" break end
    if visit.gap then
      result.visits[i] = { gap = visit.gap, visit = visit.visit }
    else
      if not own.cell or own.cell.ended then
        if left == 0 then result.stopped = "the script's process died again and again" break end
        left = left - 1
        local problem
        own.cell, problem = cells.private(tenant)
        if not own.cell then return nil, problem end
      end
      local watch = replay.watch(visit, recorded.visits[i + 1], permissions)
      local ran, err = run_visit(own.cell, tenant, hash, recorded, watch)
      if not ran then return nil, err end
      result.visits[i] = shown(watch)
      if watch.difference and not watch.unknown then
        result.same = false
        table.insert(result.differences, watch.difference)
        if #result.differences == replay.DIFFERENCES then result.stopped = ("there are %d differences"):format(replay.DIFFERENCES) break end
      end
    end
  end
  return result
end

--- Runs the history of a call again, when it is the tenant's turn (scripts.checks).
--- @param recorded table  what history.open gives
--- @param version string|nil  hash; the one that ran unless given
--- @param permissions table|nil  of that version's bundle.lua
--- @return table|nil  { same, version, recorded, visits = { { visit, state, verbs, how, result, difference } | { gap, visit } },
---   differences = { ... }, stopped = why not all of it was run }; or nil, err
function replay.run(tenant, recorded, version, permissions)
  local own = {}  -- the cell that is there now
  local ok, result, err = pcall(checks.run, tenant, BYTES, run_all, tenant, recorded, version or recorded.hash, permissions, own)
  if own.cell then cells.close(own.cell) end
  if not ok then error(result, 0) end
  return result, err
end

--- The visits as they were recorded, without running anything: { recorded = hash, visits }.
function replay.list(recorded)
  local visits = json.array{}
  for i, visit in ipairs(recorded.visits) do
    visits[i] = visit.gap and { gap = visit.gap, visit = visit.visit } or shown(replay.watch(visit))
    visits[i].result = nil
  end
  return { recorded = recorded.hash, visits = visits }
end

return replay
