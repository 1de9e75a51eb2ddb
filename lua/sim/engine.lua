-- SPDX-License-Identifier: Apache-2.0
--- A simulated call: the flow runs in a real cell, by the real flow engine (flow), and only its verbs and its clock are played.
--- Nothing waits for the clock, so a call of minutes takes as long as its messages to the cell.
---
--- A world is what calls are played in: { cell, bundle, flows, hooks, files, sounds, numbers, region }, see sim.open().
--- A result:
---   { outcome = "done" | "hangup" | "fallback" | "unanswered" | "endless" | "not_allowed" (may_contact), hangup_by = "caller" | "flow" |
---     "platform", route = what routing gave,
---     states = { name, ... }, data = call.data at the end, seconds =,
---     trace = { { at_ms, state, verb, args, result | error, took_ms, used_us }, ... },   used_us: what the script used to get there; or
---             { at_ms, state, hook, input, result | error, fallback = what is done without it, took_ms, used_us = by the hook }
---     said = { text, ... }, logged = { text, ... }, lead = the last one made, leads = all,
---     tools = { { name, given, result | error }, ... }   that the AI of its conversations used,
---     error = { kind, text, file, line, state } | nil, errors = all of them, flow = its file, heard = what the caller said }
local caller = require "sim.caller"
local fallback = require "calls.fallback"
local flow = require "flow"
local gate = require "scripts.gate"
local hook_rules = require "scripts.hooks.rules"
local hooks = require "sim.hooks"
local journal = require "flow.journal"
local json = require "core.json"
local log = require "core.log"
local promise = require "lib.promise"
local lead_rules = require "leads.rules"
local rules = require "scripts.rules"
local verbs = require "sim.verbs"

local engine = {}

local VERBS_MOST, VISITS_MOST = 2000, 1000   -- of a call; then it counts as endless
local WEIGHT_MOST = 1024 * 1024               -- bytes of arguments that a call's trace holds
engine.EPOCH_US = 1767258000000000           -- 2026-01-01 09:00 UTC, when a caller does not say: results are the same every day

local Call = {}
Call.__index = Call

-- time -------------------------------------------------------------------------------------------------------------------------

function Call:move_to(ms)
  self.now_ms = math.max(self.now_ms, math.floor(ms))
  if self.now_ms > self.limit_ms then self:give_up(("after %d s the call was still going on"):format(self.limit_ms / 1000)) end
end

function Call:set_wall(us) self.wall_offset_us = us - self.now_ms * 1000 end
function Call:wall_us() return self.wall_offset_us + self.now_ms * 1000 end

-- what happens to it -----------------------------------------------------------------------------------------------------------

local DIGITS_MOST = 128

function Call:on_digit(digit)
  if #self.digits < DIGITS_MOST then self.digits[#self.digits + 1] = digit end
end

function Call:on_speech(text) self.heard[#self.heard + 1] = text end

--- The caller's line is gone: by himself, by the flow or by the platform.
function Call:on_gone(by)
  if self.gone_why then return end
  self.gone_why, self.hangup_by = by, by
  flow.ended(self, by)
end

function Call:close()
  if self.closed then return end
  self.closed, self.over = true, true
  self.cells.drop(self.id, self.run)
  self.over_promise:give(true)
end

--- It would go on for ever.
function Call:give_up(text)
  if self.closed then return end
  self.outcome = "endless"
  self:add_error{ kind = "endless", text = text, state = self.state }
  self.gone_why, self.hangup_by = self.gone_why or "platform", self.hangup_by or "platform"
  self:close()
end

function Call:add_error(err)
  self.errors[#self.errors + 1] = err
end

-- what a flow's instance gives ---------------------------------------------------------------------------------------------------

function Call:info()
  local info = { id = self.id, from = self.from, to = self.to, direction = self.direction, started_us = self.started_us,
                 seed = journal.seed(self.seed, self.visit), route = self.route }
  if self.state == "ended" then info.why = self.why end
  if self.state == "failed" then info.error = self.error_text end
  return info
end

--- What hooks are told of it, as of a live call.
function Call:about()
  return { id = self.id, from = self.from, to = self.to, direction = self.direction, state = self.state, flow = self.file,
    seconds = math.floor(self.now_ms / 1000), outcome = self.outcome or self.closed and (self.up and "hangup" or "unanswered") or nil }
end

function Call:keep() return true end
function Call:visited() end
function Call:head() end

function Call:moved()
  if self.visit > VISITS_MOST then return self:give_up(("after %d states the call was still going on"):format(VISITS_MOST)) end
  -- The states ended and failed are entered where the flow has none too.
  local defined = self.world.flows[self.file]
  if self.state ~= "ended" and self.state ~= "failed" or defined and defined[self.state] then self.states[#self.states + 1] = self.state end
  if self.entered then self:entered() end
end

function Call:finished()
  if self.gone_why then return self:close() end
  self.outcome = self.outcome or "done"
  self:on_gone("flow")
end

function Call:failed(kind, text, file, line)
  local told  -- to the script log, where it stands without its kind
  for _, err in ipairs(self.errors) do
    if err.text == text then told, err.kind = true, kind end
  end
  if not told then self:add_error{ kind = kind, text = text, file = file, line = line, state = self.state } end
  if self.gone_why then return self:close() end
  if self.fallen then return self:close() end
  self.fallen, self.outcome = true, "fallback"
  local ok, err = pcall(fallback.run, self, fallback.chosen(self.world.bundle))
  if not ok then log.error("fallback.failed", { call = self.id, text = tostring(err) }) end
  if not self.gone_why then self:on_gone("platform") end
end

-- What a script did wrong; the flow's engine says it once.
local function noted(call)
  return function(_, entry) call:add_error{ kind = "error", text = entry.text, file = entry.file, line = entry.line, state = entry.state } end
end

-- the trace --------------------------------------------------------------------------------------------------------------------

-- The arguments without the defaults that the check filled in.
local function given(verb, args)
  local list = json.array()
  for i, param in ipairs(verb.params) do
    local value = args[i]
    if type(value) == "table" and param.fields then
      local copy
      for name, item in pairs(value) do
        local field = param.fields[name]
        if not field or field.default == nil or field.default ~= item then copy = copy or {} copy[name] = item end
      end
      value = copy
    end
    list[i] = value
  end
  return list
end

-- How much memory a value takes, roughly: a script decides what a trace holds.
local function weight(value)
  if type(value) == "string" then return #value + 16 end
  if type(value) ~= "table" then return 16 end
  local sum = 64
  for key, item in pairs(value) do sum = sum + weight(key) + weight(item) end
  return sum
end

--- Where it stands, for the trace.
function Call:place()
  if self.fallen then return "(fallback)" end
  if self.closed then return "(after)" end
  return self.visit > 0 and self.state or "(before)"
end

--- Adds a step to the trace. False when the call has more than a call may, and is ended.
--- @param given_to table  what the step was given, which a script decides
function Call:add_step(step, given_to)
  self.trace[#self.trace + 1] = step
  self.weight = self.weight + weight(given_to)
  if self.weight > WEIGHT_MOST then
    self:give_up(("its verbs were given more than %d KiB"):format(WEIGHT_MOST / 1024))
    return false
  end
  if #self.trace > self.verbs_most then
    self:give_up(("after %d verbs the call was still going on"):format(self.verbs_most))
    return false
  end
  return true
end

local traced = {}
for _, verb in ipairs(gate.verbs) do
  traced[verb.name] = function(call, args, entry, n)
    local goes_on = verbs.goes_on(verb.name, args)
    local step = { at_ms = call.now_ms, state = call:place(), verb = verb.name, args = goes_on and json.array{ args[2] } or given(verb, args) }
    if call.world.measures then step.used_us = call.cells.used_us() end
    if not call:add_step(step, step.args) then return nil, { code = "gone", text = "the simulated call was ended" } end
    if call.asked and not goes_on then call:asked(verb, args) end
    local err, value = not goes_on and call.caller:failure(verb.name) or nil, nil
    if not err then value, err = verbs.table[verb.name](call, args, entry, n) end
    step.took_ms = call.now_ms - step.at_ms
    step.result = value
    if value == nil and err then step.error = err end
    if step.used_us then call.cells.mark() end
    return value, err
  end
end

-- playing one ------------------------------------------------------------------------------------------------------------------

local function a_number(bundle)
  local least
  for number in pairs(bundle.numbers or {}) do
    if number ~= "*" and (not least or number < least) then least = number end
  end
  return least or "+15550100"
end

local last_id = 0

-- May it be placed? Asked for an outbound call of a campaign, before all else.
local function may_be_placed(call, campaign)
  if call.direction ~= "outbound" or not campaign then return true end
  local contact = hooks.ask(call, "may_contact", { number = call.to, campaign = campaign })
  if not contact or contact.allowed then return true end
  call.outcome, call.reason, call.closed, call.over = "not_allowed", contact.reason, true, true
  return false
end

-- The flow of a call, as a new call gets it; or nil, { path, text }.
local function choose(call, him)
  local world, file = call.world, him.flow
  local number = him.direction == "outbound" and him.from or call.to  -- the tenant's own
  if not file then
    call.route = hooks.ask(call, "routing", hook_rules.routing_input(call, world.flows, call.tenant.slug))
    file = call.route and call.route.flow or rules.flow_for(world.bundle, number)
  end
  if not file then return nil, { path = { number == call.to and "to" or "from" }, text = ("no flow of bundle.lua answers %s"):format(number) } end
  if not world.flows[file] then return nil, { path = { him.flow and "flow" or "to" }, text = ("'%s' is no flow of this bundle"):format(file) } end
  return file
end

--- Makes the call without starting it. May ask hooks, and so wait. nil, { path, text } when it has no flow.
--- @param given_caller table  of caller.check()
function engine.new(world, given_caller)
  local to = given_caller.to or a_number(world.bundle)
  last_id = last_id + 1
  local self = setmetatable({
    id = "sim" .. last_id, world = world, tenant = world.tenant, hash = "sim", state = "start", visit = 0, virtual = true,
    data = given_caller.data or {}, journal = journal.new(), payer = world.payer, verbs = traced, permissions = world.bundle.permissions, cells = world.cell, caller = caller.new(given_caller),
    from = given_caller.from or "+15550123", to = to, direction = given_caller.direction, seed = given_caller.seed,
    agents = given_caller.agents, up = given_caller.direction == "outbound",
    now_ms = 0, limit_ms = given_caller.limit_s * 1000, digits = {}, recordings = 0, weight = 0, verbs_most = VERBS_MOST, over_promise = promise.new(),
    states = {}, trace = {}, said = {}, heard = {}, logged = {}, leads = {}, tools = {}, errors = {},
  }, Call)
  self.started_us = given_caller.now or engine.EPOCH_US
  self:set_wall(self.started_us)
  self.log = noted(self)
  if not may_be_placed(self, given_caller.campaign) then return self end
  local file, problem = choose(self, given_caller)
  if not file then return nil, problem end
  self.file, self.start = file, given_caller.state or world.flows[file].start
  return self
end

-- A lead whose score its hook gave is scored once more when the call has ended.
local function rescore(call)
  local lead = call.leads[#call.leads]
  if not lead or not lead.reasons or not call.gone_why or call.outcome == "endless" then return end
  local scored = hooks.ask(call, "scoring", lead_rules.hook_input(lead, call:about()))
  if scored then lead.score, lead.reasons = scored.score, scored.reasons or json.array{} end
end

--- Plays it to its end. Waits; nothing of a cell that cannot be made is left waiting.
function engine.play(call)
  if call.over then return call end
  if call.world.measures then call.cells.mark() end
  flow.enter(call, call.start)
  call.over_promise:wait()
  rescore(call)
  return call
end

local lists = { "states", "trace", "said", "heard", "logged", "leads", "tools", "errors" }

--- What became of a call that was played.
function engine.result(call)
  local result = {
    outcome = call.outcome or (call.up and "hangup" or "unanswered"), hangup_by = call.hangup_by, seconds = call.now_ms / 1000,
    data = call.data, lead = call.leads[#call.leads], error = call.errors[1], flow = call.file, route = call.route, reason = call.reason,
  }
  for _, name in ipairs(lists) do result[name] = json.array(call[name]) end
  return result
end

--- The result as JSON of at most so many bytes: a long call loses the end of its lists, and `cut` says so.
function engine.fitting(result, bytes)
  local copy = {}
  for name, value in pairs(result) do copy[name] = value end
  for _ = 1, 12 do
    if #json.encode(copy) <= bytes then break end
    for _, name in ipairs(lists) do
      local half = json.array()
      for i = 1, math.ceil(#copy[name] / 2) do half[i] = copy[name][i] end
      copy[name], copy.cut = half, true
    end
  end
  return copy
end

--- Plays one call. Returns the result; or nil, { path, text } for a caller that cannot call.
function engine.call(world, given_caller)
  local call, problem = engine.new(world, given_caller)
  if not call then return nil, problem end
  return engine.result(engine.play(call))
end

return engine
