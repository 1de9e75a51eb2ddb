-- SPDX-License-Identifier: Apache-2.0
--- Upload, check and read bundles; the script reference. Moving the pointers: scripts.pointer_routes; the log: scripts.log_routes.
local annotations = require "scripts.annotations"
local crypto = require "core.crypto"
local cursor = require "lib.cursor"
local diff = require "lib.diff"
local json = require "core.json"
local log_routes = require "scripts.log_routes"
local operator = require "scripts.operator"
local pointer_routes = require "scripts.pointer_routes"
local problem = require "lib.problem"
local reference = require "scripts.reference"
local router = require "lib.router"
local rules = require "scripts.rules"
local schema = require "lib.schema"
local scripts = require "scripts"
local store = require "scripts.store"
local task = require "core.task"
local time = require "lib.time"

local hash_schema = { type = "string", format = "hash", description = "the version's hash" }
local tenant_id = { type = "string", maxLength = 63 }
local files_schema = { type = "array", items = { type = "object", required = { "path" }, properties = {
  path = { type = "string" },
  text = { type = "string", description = "the file as text" },
  base64 = { type = "string", description = "or as base64, for sounds" },
} } }

local LARGE = 64 * 1024  -- bytes of one step's work, after which others have their turn

-- The files of a body: list of { path =, data = }; what is no file raises a problem.
local function files_of(body)
  local files = {}
  if #body.files > rules.MAX_FILES then
    problem.raise(422, "bundle_invalid", ("The bundle has %d files; at most %d are allowed."):format(#body.files, rules.MAX_FILES))
  end
  for i, file in ipairs(body.files) do
    local data = file.text
    if file.base64 then
      data = crypto.unb64(file.base64)
      if #file.base64 > LARGE then task.sleep(0) end
    end
    if not data then
      problem.raise(422, "bundle_invalid", ("%s has neither text nor valid base64"):format(file.path))
    end
    files[i] = { path = file.path, data = data }
  end
  return files
end

local function listed(problems)
  local list = json.array()
  for i, p in ipairs(problems or {}) do list[i] = { file = p.file, line = p.line, text = p.text } end
  return list
end

local function specs_view(specs)
  if not specs then return nil end
  local failures = json.array()
  for i, f in ipairs(specs.failures or {}) do failures[i] = { file = f.file, line = f.line, name = f.name, text = f.text } end
  return { passed = specs.passed or 0, failed = specs.failed or 0, failures = failures }
end

-- upload and check -------------------------------------------------------------------------------------------------------------

local function upload(ctx)
  local first, first_body, first_headers = ctx:first_answer()
  if first then
    if ctx.body.publish then scripts.pointers.confirm(ctx.tenant) end
    return first, first_body, first_headers
  end
  local origin = { actor = ctx:actor(), trace = ctx.trace.id, parent = ctx.body.parent }
  if origin.parent and not store.bundle(ctx.tenant.db, origin.parent) then
    return problem.new(422, "no_such_parent", "parent must be the hash of a version that is stored, or be left out.")
  end
  local version, err = scripts.upload(ctx.tenant, files_of(ctx.body), origin)
  if not version then return pointer_routes.refusal(err) end
  local answer = { version = version.hash, flows = version.report.flows, specs = specs_view(version.report.specs), live = false }
  if not ctx.body.publish and not ctx.idempotency_key then return 201, answer end
  local moved  -- stays nil when a repeat gets the first answer
  local status, body, headers = ctx:transaction(function(tx)
    if ctx.body.publish then
      moved, err = scripts.pointers.publish(tx, version.hash, pointer_routes.order(ctx))
      if not moved then error(pointer_routes.refusal(err, version.hash), 0) end
      answer.live, answer.pointer = true, moved.live.version
    end
    return 201, answer
  end)
  if moved then scripts.pointers.moved(ctx.tenant, moved, ctx:actor()) elseif ctx.body.publish then scripts.pointers.confirm(ctx.tenant) end
  return status, body, headers
end

-- What is wrong is the answer here, not an error.
local function check(ctx)
  local checked, err = scripts.check(ctx.tenant, files_of(ctx.body))
  if not checked and err.code ~= "invalid" then return pointer_routes.refusal(err) end
  if not checked then return 200, { valid = false, problems = listed(err.problems) } end
  local specs = specs_view(checked.report.specs)
  return 200, { valid = not specs or specs.failed == 0, problems = json.array(), flows = checked.report.flows, specs = specs, size = checked.report.size }
end

-- reading --------------------------------------------------------------------------------------------------------------------

local function bundle_view(row, at)
  local report = json.decode(row.report) or {}
  return { version = row.hash, size = row.size, created_by = row.created_by, created_at = time.rfc3339(row.created_at), parent = row.parent,
           live = at.live ~= nil and row.hash == at.live.hash, canary = row.hash == at.canary.hash, flows = report.flows, specs = specs_view(report.specs) }
end

local function list(ctx)
  local at = store.pointers(ctx.tenant.db)
  local rows, following
  local found = json.array()
  if ctx.query.prefix then
    rows = store.bundles_like(ctx.tenant.db, ctx.query.prefix, ctx.query.limit)
  else
    local before, hash
    if ctx.query.cursor then before, hash = cursor.decode("bundles", ctx.query.cursor, 2) end
    rows = store.bundles(ctx.tenant.db, before, hash, ctx.query.limit + 1)
  end
  for i, row in ipairs(rows) do
    if i > ctx.query.limit then
      following = cursor.encode("bundles", rows[i - 1].created_at, rows[i - 1].hash)
    else
      found[i] = bundle_view(row, at)
    end
  end
  return 200, { bundles = found, next = following, live = at.live and at.live.hash, canary = at.canary.hash }
end

local function missing() return problem.new(404, "bundle_not_found", "There is no such version. GET /scripts/bundles lists those there are.") end

local function read(ctx)
  local row = store.bundle(ctx.tenant.db, ctx.params.version)
  if not row then return missing() end
  local view = bundle_view(row, store.pointers(ctx.tenant.db))
  local used = store.use(ctx.tenant.db, row.hash) or { calls = 0, failed = 0, over_budget = 0 }
  view.use = { calls = used.calls, failed = used.failed, over_budget = used.over_budget, last_at = time.rfc3339(used.last_at) }
  view.files = json.array()
  for i, file in ipairs(scripts.files(ctx.tenant, row.hash) or {}) do view.files[i] = { path = file.path, size = #file.data } end
  return 200, view
end

local function download(ctx)
  local files = scripts.own_files(ctx.tenant, ctx.params.version)
  if not files then return missing() end
  local found, work = json.array(), 0
  for i, file in ipairs(files) do
    found[i] = rules.sent(file.path, file.data)
    work = work + #file.data
    if work > LARGE then
      work = 0
      task.sleep(0)
    end
  end
  return 200, { version = ctx.params.version, files = found }
end

local function by_path(files)
  local found = {}
  for _, file in ipairs(files) do found[file.path] = file.data end
  return found
end

local function compare(ctx)
  local row = store.bundle(ctx.tenant.db, ctx.params.version)
  if not row then return missing() end
  local from = ctx.query.with or row.parent
  local old_files = from and scripts.own_files(ctx.tenant, from)
  if ctx.query.with and not old_files then return missing() end
  local changes = diff.files(by_path(old_files or {}), by_path(scripts.files(ctx.tenant, row.hash) or {}), function() task.sleep(0) end)
  return 200, { from = from, to = row.hash, files = json.array(changes) }
end

-- declarations ---------------------------------------------------------------------------------------------------------------

local routes = {}

-- Declares the routes of bundles, pointers and the log by add(route).
local function declare(add)
  local readers = { "admin", "supervisor" }
  local version = { version = hash_schema }
  local body = { files = files_schema, publish = { type = "boolean", description = "make it live at once" }, tenantId = tenant_id,
                 parent = { type = "string", format = "hash", description = "the version it was made from; what is live unless given" } }
  for name, declared in pairs(pointer_routes.override) do body[name] = declared end
  add{ method = "POST", path = "/scripts/bundles", summary = "Upload a bundle: checked, its specs run, stored as a version, not yet live",
    roles = { "admin" }, limit = "heavy", status = 201, body = schema.object(body, { "files" }), handler = upload }
  add{ method = "POST", path = "/scripts/check", summary = "Check a bundle as an upload does, and keep nothing",
    roles = { "admin" }, limit = "heavy", body = schema.object({ files = files_schema, tenantId = tenant_id }, { "files" }), handler = check }
  add{ method = "GET", path = "/scripts/bundles", summary = "List versions, newest first", roles = readers, handler = list, query = {
    limit = { type = "integer", minimum = 1, maximum = 100, default = 20 }, cursor = { type = "string", maxLength = 500 },
    prefix = { type = "string", minLength = 4, maxLength = 64, format = "hex", description = "only those whose hash begins so, in the order of their hashes" } } }
  add{ method = "GET", path = "/scripts/bundles/{version}", summary = "One version: its report, files, and what came of its calls",
    roles = readers, params = version, handler = read }
  add{ method = "GET", path = "/scripts/bundles/{version}/files", summary = "The files of a version, in the form an upload has them",
    roles = readers, limit = "heavy", params = version, handler = download }
  add{ method = "GET", path = "/scripts/bundles/{version}/diff", summary = "What changed from another version (its parent unless named), file by file",
    roles = readers, limit = "heavy", params = version, query = { with = { type = "string", format = "hash" } }, handler = compare }
  pointer_routes.register(add)
  log_routes.register(add)
end

-- The operator's own rules have the same routes, in front of the same code: the operator's record stands where a tenant's would.
-- A canary of them routes a share of the calls for which the tenant has nothing. Prices and plans are the live version's until it is
-- promoted: what somebody pays is not drawn by lot.
local function add_for_operators(route)
  local handler = route.handler
  route.path, route.roles, route.tenant = "/admin" .. route.path, { "platform" }, false
  route.summary = "The operator's rules: " .. route.summary:gsub("^%u", string.lower)
  if route.path == "/admin/scripts/canary" and route.method == "POST" then
    route.summary = route.summary .. ". Of the calls that the operator's routing decides; prices and plans stay the live ones until it is promoted"
  end
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
      return 200, reference.markdown(), { ["Content-Type"] = "text/markdown; charset=utf-8" }
    end,
  }

  router.add{
    method = "GET", path = "/scripts/annotations.lua", summary = "The script reference for editors: a library of the Lua language server",
    public = true, tenant = false,
    handler = function() return 200, annotations.text(), { ["Content-Type"] = "text/plain; charset=utf-8" } end,
  }
end

return routes
