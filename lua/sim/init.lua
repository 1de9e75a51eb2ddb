-- SPDX-License-Identifier: Apache-2.0
--- The simulator: a bundle's calls played without telephony, database and clock, in a cell of their own.
local bundle = require "core.bundle"
local caller = require "sim.caller"
local engine = require "sim.engine"
local hook_rules = require "scripts.hooks.rules"
local rules = require "scripts.rules"
local sim_cell = require "sim.cell"
local specs = require "sim.specs"
local timer = require "core.timer"

local sim = {}

local SPECS_LIMIT_S = 30  -- of real time, for all specs of a bundle that is uploaded

-- Flows as the cell tells of them, in the form they must have: a cell may say anything.
local function flows_of(result)
  local flows = {}
  for path, flow in pairs(type(result.flows) == "table" and result.flows or {}) do
    if type(flow) == "table" and type(flow.start) == "string" and type(flow.states) == "table" then
      local states = {}
      for _, name in ipairs(flow.states) do if type(name) == "string" then states[#states + 1] = name end end
      flows[path] = { start = flow.start, states = states, ended = flow.ended == true or nil, failed = flow.failed == true or nil }
    end
  end
  return flows
end

-- Whose share of a worker a tenant's simulated calls take: not that of its live calls, and just as large.
local function payer_of(tenant) return tenant and { id = "sim " .. tenant.id, limits = tenant.limits } end

--- Opens a world for a bundle's bytes, for whoever closes it. It has been checked.
--- @param options table|nil  { measures = true: note what each step used; cover = true: note which lines run; region = "US";
---   tenant = who pays for its verbs, where there are others on the machine; eager = true: at full weight, on a machine that has no calls }
--- @return table|nil  { cell, bundle, flows, hooks, files, ..., close() }, as engine wants it; or nil, { code, text, problems = { { file, line, text } } }
function sim.open(bytes, options)
  options = options or {}
  local list, err = bundle.files(bytes)
  if not list then return nil, { code = "invalid", text = err.text, problems = { { text = err.text } } } end
  local files = {}
  for _, file in ipairs(list) do files[file.path] = file.data end
  local cell = sim_cell.open(bytes, options.eager)
  if options.cover then cell.cover() end
  local result
  result, err = cell.check(hook_rules.files())
  if not result then
    cell.close()
    return nil, err
  end
  local ok, problems, found = pcall(rules.report, result, list)
  if not ok or #problems > 0 then
    cell.close()
    if not ok then return nil, { code = "invalid", text = "what the check gave cannot be read" } end
    local first = problems[1]
    return nil, { code = "invalid", text = (first.file and ("%s:%d: "):format(first.file, first.line or 1) or "") .. first.text, problems = problems }
  end
  local hooks = {}
  for _, name in ipairs(found) do hooks[name] = true end
  return { cell = cell, bundle = result.bundle, flows = flows_of(result), hooks = hooks, epoch_s = engine.EPOCH_US / 1e6, files = files, sounds = {}, numbers = {}, region = options.region or "US",
           measures = options.measures, payer = payer_of(options.tenant), tenant = { id = -1, slug = "(simulated)", region = options.region or "US" }, close = cell.close }
end

--- Plays a call as its caller is described (sim.caller). @return table|nil  the result; or nil, { path, text }
function sim.call(world, given)
  local checked, problem = caller.check(given)
  if not checked then return nil, problem end
  return engine.call(world, checked)
end

--- Runs the specs of a bundle. One without any passes.
--- @param options table|nil  { filter, on_test = fn(test), cover = fn(world): asked before each of its cells ends, limit_s, region, tenant, eager }
--- @return table|nil  specs.report(), with stopped = true when there was no time for all; or nil, err as sim.open() gives it
function sim.specs(bytes, options)
  options = options or {}
  local report = specs.report()
  local list, err = bundle.files(bytes)
  if not list then return nil, { code = "invalid", text = err.text } end
  local files = {}
  for _, file in ipairs(list) do files[file.path] = file.data end
  local open
  local limit_s = options.limit_s or SPECS_LIMIT_S
  local limit = timer.after(limit_s * 1000, function()
    report.stopped = true
    if open then open.cell.stop(("took longer than %d s for all specs"):format(limit_s)) end
  end)
  for _, path in ipairs(specs.files(files)) do
    if report.stopped then break end
    open, err = sim.open(bytes, { cover = options.cover ~= nil, region = options.region, tenant = options.tenant, eager = options.eager })
    if not open then break end
    local ok, raised = pcall(function()
      specs.run(open, path, options, report)
      report.flows = open.flows
      if options.cover then options.cover(open) end
    end)
    open.close()
    if not ok then
      limit:cancel()
      error(raised, 0)
    end
  end
  limit:cancel()
  if err then return nil, err end
  if report.stopped and report.failed == 0 then  -- between two tests: those behind it have not passed
    report.failed = 1
    report.failures[1] = { name = "all specs", text = ("took longer than %d s"):format(limit_s) }
  end
  return report
end

return sim
