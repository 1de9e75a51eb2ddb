-- SPDX-License-Identifier: Apache-2.0
--- Publish, roll back, try a canary, and look at which versions new calls run.
local json = require "core.json"
local problem = require "lib.problem"
local schema = require "lib.schema"
local scripts = require "scripts"
local store = require "scripts.store"
local time = require "lib.time"

local routes = {}

local hash_schema = { type = "string", format = "hash", description = "the version's hash" }
local tenant_id = { type = "string", maxLength = 63 }
local expected = { type = "integer", minimum = 0, description = "the pointer's number you saw; somebody else's move is then not overwritten" }

--- How an admin puts a version before callers although its specs fail.
routes.override = {
  skip_specs = { type = "boolean", description = "also when specs fail; needs a reason, which the audit keeps" },
  reason = { type = "string", minLength = 3, maxLength = 200 },
}

local codes = {
  first = { 409, "no_earlier_version" }, stale = { 409, "bundle_moved" }, not_found = { 404, "bundle_not_found" }, running = { 409, "canary_runs" },
  none = { 409, "no_canary" }, live = { 409, "already_live" },
}

--- The problem that tells of an error of scripts or scripts.pointers.
--- @param version string|nil  which is stored nevertheless
function routes.refusal(err, version)
  if err.code == "invalid" or err.code == "specs" then
    local errors = {}
    for i, p in ipairs(err.problems or {}) do
      errors[i] = { pointer = p.file and ("/files/" .. p.file) or nil, detail = p.text, file = p.file, line = p.line }
    end
    return problem.new(422, err.code == "specs" and "specs_failed" or "bundle_invalid", err.text,
      { errors = #errors > 0 and errors or nil, version = version })
  end
  if err.code == "busy" or err.code == "too_many" then
    local wait_s, own = err.retry_after_s or 5, err.code == "too_many"
    return problem.new(own and 429 or 503, own and "too_many_checks" or "checks_busy", ("%s. Try again in %d s."):format(err.text, wait_s),
      { headers = { ["Retry-After"] = tostring(wait_s) } })
  end
  local known = codes[err.code]
  if known then return problem.new(known[1], known[2], err.text) end
  return problem.new(503, "cells_unavailable", "The bundle could not be checked right now (" .. err.text .. "). Try again in a moment.")
end

--- Who asks for a move, and how, as scripts.pointers takes it.
function routes.order(ctx)
  local body = ctx.body or {}
  if body.skip_specs and not body.reason then
    problem.raise(422, "reason_missing", "skip_specs needs a reason: say in a few words why a version whose specs fail goes before callers.")
  end
  return { actor = ctx:actor(), trace = ctx.trace.id, expected = body.expected, skip_specs = body.skip_specs, reason = body.reason }
end

local function view(moved)
  local main, canary = moved.live or moved.canary, moved.canary
  return {
    version = main.hash or main.previous, pointer = main.version, previous = main.previous, live = moved.live ~= nil,
    canary = canary and canary.hash and { version = canary.hash, share = canary.share / 10, pointer = canary.version } or nil,
    canary_ended = canary and not canary.hash and canary.previous or nil,
  }
end

-- A route that moves a pointer by move(tx, ctx, order).
local function mover(add, path, method, summary, declared, move)
  local properties = { expected = expected, tenantId = tenant_id }
  for name, value in pairs(declared.body or {}) do properties[name] = value end
  add{
    method = method, path = path, summary = summary, roles = { "admin" }, limit = "write", params = declared.params,
    body_optional = not declared.required, body = method ~= "DELETE" and schema.object(properties, declared.required) or nil,
    query = method == "DELETE" and { expected = expected } or nil,
    handler = function(ctx)
      local order = routes.order(ctx)
      order.expected = order.expected or ctx.query.expected
      local hash = ctx.params.version or ctx.body and ctx.body.version
      if hash then scripts.pointers.announce(ctx.tenant, hash) end  -- it is loaded while the rows are written
      local moved, err  -- stay nil when a repeat gets the first answer
      local status, answer, headers = ctx:transaction(function(tx)
        moved, err = move(tx, ctx, order)
        if not moved then error(routes.refusal(err), 0) end
        return 200, view(moved)
      end)
      if moved then scripts.pointers.moved(ctx.tenant, moved, ctx:actor()) else scripts.pointers.confirm(ctx.tenant) end
      return status, answer, headers
    end,
  }
end

local function live(ctx)
  local at = store.pointers(ctx.tenant.db)
  local moves = json.array()
  for i, move in ipairs(store.moves(ctx.tenant.db, 20)) do
    moves[i] = { name = move.name, version = move.hash, pointer = move.version, previous = move.previous, action = move.action, actor = move.actor,
                 at = time.rfc3339(move.at) }
  end
  local canary = at.canary
  local use = canary.hash and store.canary_use(ctx.tenant.db, canary.hash)
  return 200, {
    version = at.live and at.live.hash, pointer = at.live and at.live.version or 0, moves = moves, canary_pointer = canary.version,
    canary = canary.hash and { version = canary.hash, share = canary.share / 10, error_limit = canary.error_limit / 10, min_calls = canary.min_calls,
      pointer = canary.version, since = time.rfc3339(canary.published_at), calls = use and use.calls or 0, failed = use and use.failed or 0 } or nil,
  }
end

--- Declares the routes by add(route).
function routes.register(add)
  local pointers = scripts.pointers
  mover(add, "/scripts/bundles/{version}/publish", "POST", "Make a version live: the next call runs it", { params = { version = hash_schema }, body = routes.override },
    function(tx, ctx, order) return pointers.publish(tx, ctx.params.version, order) end)
  mover(add, "/scripts/rollback", "POST", "Go back to the version before the live one", {},
    function(tx, _, order) return pointers.rollback(tx, order) end)
  local canary = {
    version = hash_schema, share = { type = "number", minimum = 1, maximum = 50, default = 10, description = "per cent of new calls" },
    error_limit = { type = "number", minimum = 0, maximum = 100, default = 5, description = "per cent of its calls: with more that failed it is rolled back" },
    min_calls = { type = "integer", minimum = 1, maximum = 100000, default = 20, description = "calls it has before it is judged" },
  }
  for name, declared in pairs(routes.override) do canary[name] = declared end
  mover(add, "/scripts/canary", "POST", "Give a share of new calls to a version; it is rolled back by itself when too many of them fail",
    { body = canary, required = { "version" } }, function(tx, ctx, order)
      local body = ctx.body
      return pointers.canary(tx, { hash = body.version, share = math.floor(body.share * 10 + 0.5), error_limit = math.floor(body.error_limit * 10 + 0.5),
        min_calls = body.min_calls }, order)
    end)
  mover(add, "/scripts/canary/promote", "POST", "Make the canary live", {}, function(tx, _, order) return pointers.promote(tx, order) end)
  mover(add, "/scripts/canary", "DELETE", "End the canary: all new calls run the live version", {}, function(tx, _, order) return pointers.cancel(tx, order) end)
  add{ method = "GET", path = "/scripts/live", summary = "The live version, the canary and their moves", roles = { "admin", "supervisor" }, handler = live }
end

return routes
