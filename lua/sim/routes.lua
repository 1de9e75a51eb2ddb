-- SPDX-License-Identifier: Apache-2.0
--- Simulated calls over HTTP: of files that are not stored yet, or of a stored version.
local bundle = require "core.bundle"
local caller = require "sim.caller"
local cells = require "scripts.cells"
local checks = require "scripts.checks"
local crypto = require "core.crypto"
local engine = require "sim.engine"
local json = require "core.json"
local pointer_routes = require "scripts.pointer_routes"
local problem = require "lib.problem"
local router = require "lib.router"
local rules = require "scripts.rules"
local store = require "scripts.store"
local sim = require "sim"
local task = require "core.task"
local timer = require "core.timer"

local CALLERS_MOST = 20
local RESULT_MOST = 64 * 1024   -- bytes of a call's result
local LIMIT_S = 20              -- of real time, for all callers of a request; its cell stands back behind calls

local routes = {}

local function bundle_problem(text, problems)
  local errors = {}
  for i, one in ipairs(problems or {}) do
    errors[i] = { pointer = one.file and ("/files/" .. one.file) or nil, detail = one.text, file = one.file, line = one.line }
  end
  return problem.new(422, "bundle_invalid", text, { errors = #errors > 0 and errors or nil })
end

-- The bytes to run, or nil, problem.
local function bytes_of(ctx)
  local body = ctx.body
  if (body.files == nil) == (body.version == nil) then
    return nil, problem.new(422, "invalid_simulation", "Give either files or the version of a stored bundle.", { errors = { { pointer = "/files", detail = "or /version" } } })
  end
  if body.version then
    local bytes = store.bundle(ctx.tenant.db, body.version) and cells.bundle_bytes(ctx.tenant, body.version)
    if not bytes then return nil, problem.new(404, "bundle_not_found", "There is no such version; upload it first.") end
    return bytes
  end
  local files = {}
  if #body.files > rules.MAX_FILES then return nil, bundle_problem(("The bundle has %d files; at most %d are allowed."):format(#body.files, rules.MAX_FILES)) end
  for i, file in ipairs(body.files) do
    local data = file.text or file.base64 and crypto.unb64(file.base64)
    if not data then return nil, bundle_problem(("%s has neither text nor valid base64"):format(file.path)) end
    files[i] = { path = file.path, data = data }
    if #data > 65536 then task.sleep(0) end
  end
  local problems = rules.files(files)
  if #problems > 0 then return nil, bundle_problem(problems[1].text, problems) end
  table.sort(files, function(a, b) return a.path < b.path end)
  local bytes, err = bundle.pack(files)
  if not bytes then return nil, bundle_problem(err.text) end
  return bytes
end

local function caller_problem(index, one)
  local pointer = "/callers/" .. index - 1 .. caller.pointer(one.path)
  return problem.new(422, "invalid_caller", ("Caller %d: %s %s."):format(index, caller.where(one.path), one.text), { errors = { { pointer = pointer, detail = one.text } } })
end

-- Callers as they were checked, or nil, problem.
local function callers_of(body)
  local list = {}
  for i, given in ipairs(body.callers) do
    given.flow = given.flow or body.flow
    local checked, one = caller.check(given)
    if not checked then return nil, caller_problem(i, one) end
    list[i] = checked
  end
  return list
end

-- Plays them when it is the tenant's turn.
local function play(tenant, bytes, callers)
  local refused
  local world, err = sim.open(bytes, { measures = true, region = tenant.region, tenant = tenant })
  if not world then
    if err.code == "invalid" then return bundle_problem(err.text, err.problems) end
    return problem.new(503, "cells_unavailable", "The calls could not be simulated right now (" .. err.text .. "). Try again in a moment.")
  end
  local late
  local limit = timer.after(LIMIT_S * 1000, function()
    late = true
    world.cell.stop("took longer than the simulation may")
  end)
  local calls = json.array()
  local ok, raised = pcall(function()
    for i, one in ipairs(callers) do
      local result, bad = engine.call(world, one)
      if not result then refused = caller_problem(i, bad) end
      if refused or late then return end
      calls[i] = engine.fitting(result, RESULT_MOST)
      task.sleep(0)
    end
  end)
  limit:cancel()
  world.close()
  if not ok then error(raised, 0) end
  if refused then return refused end
  if late then return problem.new(422, "simulation_too_long", ("The calls took more than %d s of real time. Simulate fewer, or shorter ones."):format(LIMIT_S)) end
  return 200, { calls = calls }
end

local function simulate(ctx)
  local callers, refused = callers_of(ctx.body)
  if not callers then return refused end
  local bytes
  bytes, refused = bytes_of(ctx)
  if not bytes then return refused end
  local status, answer = checks.run(ctx.tenant, #bytes, play, ctx.tenant, bytes, callers)
  if not status then return pointer_routes.refusal(answer) end
  return status, answer
end

--- Declares the route.
function routes.register()
  router.add{
    method = "POST", path = "/scripts/simulate", roles = { "admin" }, limit = "heavy",
    summary = "Play callers through a bundle's flow without telephony: what it says, asks and does, and what each step cost",
    body = { type = "object", required = { "callers" }, properties = {
      files = { type = "array", items = { type = "object", required = { "path" }, properties = {
        path = { type = "string" }, text = { type = "string" }, base64 = { type = "string" } } } },
      version = { type = "string", format = "hash", description = "a stored version instead of files" },
      flow = { type = "string", maxLength = 128, description = "a flow's file, instead of what bundle.lua says for the number" },
      callers = { type = "array", minItems = 1, maxItems = CALLERS_MOST, items = { type = "object", additionalProperties = true },
        description = "as a spec's simulate{ ... } takes them, such as { \"steps\": [{ \"key\": \"1\" }, { \"hangup\": true }] }" },
      tenantId = { type = "string", maxLength = 63 },
    } },
    handler = simulate,
  }
end

return routes
