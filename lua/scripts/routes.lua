-- SPDX-License-Identifier: Apache-2.0
--- Upload, publish, roll back and read bundles; the script log; the script reference.
local annotations = require "scripts.annotations"
local cursor = require "lib.cursor"
local crypto = require "core.crypto"
local hook_reference = require "scripts.hooks.reference"
local ids = require "lib.ids"
local json = require "core.json"
local operator = require "scripts.operator"
local pii = require "lib.pii"
local problem = require "lib.problem"
local reference = require "scripts.reference"
local router = require "lib.router"
local rules = require "scripts.rules"
local scripts = require "scripts"
local store = require "scripts.store"
local task = require "core.task"
local text_of = require "lib.text"
local time = require "lib.time"

local hash_schema = { type = "string", format = "hash", description = "the version's hash" }
local tenant_id = { type = "string", maxLength = 63 }

local function bundle_view(row, live)
  local report = json.decode(row.report) or {}
  return { version = row.hash, size = row.size, created_by = row.created_by, created_at = time.rfc3339(row.created_at),
           live = row.hash == live, flows = report.flows }
end

local function refuse(err)
  if err.code == "invalid" then
    local errors = {}
    for i, p in ipairs(err.problems or {}) do
      errors[i] = { pointer = p.file and ("/files/" .. p.file) or nil, detail = p.text, file = p.file, line = p.line }
    end
    return problem.new(422, "bundle_invalid", err.text, { errors = #errors > 0 and errors or nil })
  end
  if err.code == "first" then return problem.new(409, "no_earlier_version", "There is no earlier version to go back to.") end
  if err.code == "stale" then return problem.new(409, "bundle_moved", err.text) end
  if err.code == "not_found" then return problem.new(404, "bundle_not_found", err.text) end
  if err.code == "busy" then
    return problem.new(503, "checks_busy", ("%s. Try again in %d s."):format(err.text, err.retry_after_s), { headers = { ["Retry-After"] = tostring(err.retry_after_s) } })
  end
  return problem.new(503, "cells_unavailable", "The bundle could not be checked right now (" .. err.text .. "). Try again in a moment.")
end

local routes = {}

-- Declares the routes by add(route).
local function declare(add)
  add{
    method = "POST", path = "/scripts/bundles", summary = "Upload a bundle: checked, stored as a version, not yet live",
    roles = { "admin" }, limit = "heavy", status = 201,
    body = { type = "object", required = { "files" }, properties = {
      files = { type = "array", items = { type = "object", required = { "path" }, properties = {
        path = { type = "string" },
        text = { type = "string", description = "the file as text" },
        base64 = { type = "string", description = "or as base64, for sounds" },
      } } },
      publish = { type = "boolean", description = "make it live at once" },
      tenantId = tenant_id,
    } },
    handler = function(ctx)
      local first, first_body, first_headers = ctx:first_answer()
      if first then
        if ctx.body.publish then scripts.confirm(ctx.tenant) end
        return first, first_body, first_headers
      end
      local files = {}
      if #ctx.body.files > rules.MAX_FILES then
        return problem.new(422, "bundle_invalid", ("The bundle has %d files; at most %d are allowed."):format(#ctx.body.files, rules.MAX_FILES))
      end
      for i, file in ipairs(ctx.body.files) do
        local data = file.text
        if file.base64 then
          data = crypto.unb64(file.base64)
          if #file.base64 > 65536 then task.sleep(0) end
        end
        if not data then
          return problem.new(422, "bundle_invalid", ("%s has neither text nor valid base64"):format(file.path))
        end
        files[i] = { path = file.path, data = data }
      end
      local version, err = scripts.upload(ctx.tenant, files, ctx:actor(), ctx.trace.id)
      if not version then return refuse(err) end
      local answer = { version = version.hash, flows = version.report.flows, live = false }
      if not ctx.body.publish and not ctx.idempotency_key then return 201, answer end
      local moved  -- stays nil when a repeat gets the first answer
      local status, body, headers = ctx:transaction(function(tx)
        if ctx.body.publish then
          moved, err = scripts.move(tx, version.hash, ctx:actor(), nil, "publish", ctx.trace.id)
          if not moved then error(refuse(err), 0) end
          answer.live, answer.pointer = true, moved.version
        end
        return 201, answer
      end)
      if moved then scripts.moved(ctx.tenant, moved, ctx:actor()) elseif ctx.body.publish then scripts.confirm(ctx.tenant) end
      return status, body, headers
    end,
  }

  add{
    method = "GET", path = "/scripts/bundles", summary = "List versions, newest first", roles = { "admin", "supervisor" },
    query = { limit = { type = "integer", minimum = 1, maximum = 100, default = 20 }, cursor = { type = "string", maxLength = 500 } },
    handler = function(ctx)
      local before, hash
      if ctx.query.cursor then before, hash = cursor.decode("bundles", ctx.query.cursor, 2) end
      local live = scripts.live(ctx.tenant)
      local rows = store.bundles(ctx.tenant.db, before, hash, ctx.query.limit + 1)
      local list, following = json.array(), nil
      for i, row in ipairs(rows) do
        if i > ctx.query.limit then
          following = cursor.encode("bundles", rows[i - 1].created_at, rows[i - 1].hash)
        else
          list[i] = bundle_view(row, live)
        end
      end
      return 200, { bundles = list, next = following, live = live }
    end,
  }

  local function publish_route(path, action, summary)
    add{
      method = "POST", path = path, summary = summary, roles = { "admin" }, limit = "write",
      params = action == "publish" and { version = hash_schema } or nil,
      body_optional = true,
      body = { type = "object", properties = {
        expected = { type = "integer", minimum = 0, description = "the pointer's number you saw; somebody else's move is then not overwritten" },
        tenantId = tenant_id } },
      handler = function(ctx)
        local moved, err  -- stay nil when a repeat gets the first answer
        local status, answer, headers = ctx:transaction(function(tx)
          moved, err = scripts.move(tx, ctx.params.version, ctx:actor(), ctx.body and ctx.body.expected, action, ctx.trace.id)
          if not moved then error(refuse(err), 0) end
          return 200, { version = moved.hash, pointer = moved.version, previous = moved.previous }
        end)
        if moved then scripts.moved(ctx.tenant, moved, ctx:actor()) else scripts.confirm(ctx.tenant) end
        return status, answer, headers
      end,
    }
  end
  publish_route("/scripts/bundles/{version}/publish", "publish", "Make a version live: the next call runs it")
  publish_route("/scripts/rollback", "rollback", "Go back to the version before the live one")

  add{
    method = "GET", path = "/scripts/live", summary = "The live version and its moves", roles = { "admin", "supervisor" },
    handler = function(ctx)
      local pointer = store.pointer(ctx.tenant.db, "live")
      local moves = json.array()
      for i, move in ipairs(store.moves(ctx.tenant.db, 20)) do
        moves[i] = { version = move.hash, pointer = move.version, previous = move.previous, action = move.action, actor = move.actor,
                     at = time.rfc3339(move.at) }
      end
      return 200, { version = pointer and pointer.hash, pointer = pointer and pointer.version or 0, moves = moves }
    end,
  }

  add{
    method = "GET", path = "/scripts/log", summary = "What scripts logged and how they failed, newest first", roles = { "admin", "supervisor" },
    query = { limit = { type = "integer", minimum = 1, maximum = 200, default = 50 }, cursor = { type = "string", maxLength = 500 } },
    handler = function(ctx)
      local before = ctx.query.cursor and cursor.decode("script_log", ctx.query.cursor, 1)
      local rows = store.log_list(ctx.tenant.db, before, nil, ctx.query.limit + 1)
      local list, following = json.array(), nil
      for i, row in ipairs(rows) do
        if i > ctx.query.limit then
          following = cursor.encode("script_log", rows[i - 1].id)
        else
          list[i] = { at = time.rfc3339(row.at), level = row.level, state = row.state, version = row.bundle_hash, file = row.file, line = row.line,
                      call = row.call_id and ids.encode("cl", row.call_id), text = text_of.clean(pii.open(ctx.tenant, "script_log.text", row.text), 65536) }
        end
      end
      return 200, { entries = list, next = following }
    end,
  }
end

-- The operator's own rules have the same routes, in front of the same code: the operator's record stands where a tenant's would.
local function add_for_operators(route)
  local handler = route.handler
  route.path, route.roles, route.tenant = "/admin" .. route.path, { "platform" }, false
  route.summary = "The operator's rules: " .. route.summary:gsub("^%u", string.lower)
  route.handler = function(ctx)
    ctx.tenant = operator.tenant
    return handler(ctx)
  end
  router.add(route)
end

--- Declares the routes.
function routes.register()
  declare(router.add)
  declare(add_for_operators)
  router.add{
    method = "GET", path = "/scripts/reference", summary = "The script reference, as Markdown or JSON", public = true, tenant = false,
    query = { format = { type = "string", enum = { "markdown", "json" }, default = "markdown", description = "json: the table that the page shows" } },
    handler = function(ctx)
      if ctx.query.format == "json" then return 200, reference.table() end
      return 200, reference.markdown() .. "\n" .. hook_reference.markdown(), { ["Content-Type"] = "text/markdown; charset=utf-8" }
    end,
  }

  router.add{
    method = "GET", path = "/scripts/annotations.lua", summary = "The script reference for editors: a library of the Lua language server",
    public = true, tenant = false,
    handler = function() return 200, annotations.text(), { ["Content-Type"] = "text/plain; charset=utf-8" } end,
  }
end

return routes
