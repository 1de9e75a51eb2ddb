-- SPDX-License-Identifier: Apache-2.0
--- Tenants: found by slug or id, made, migrated.
---   tenants.get("acme") -> { id, slug, name, db, schema, region, status, limits (of its own: rules.limits; or nil),
---     key (data key, in memory only), created_at }
--- Records are kept for a minute and dropped at once when somebody publishes a change.
local agents = require "agents"
local audit = require "audit"
local clock = require "core.clock"
local config = require "core.config"
local crypto = require "core.crypto"
local db = require "lib.db"
local jobs = require "lib.jobs"
local json = require "core.json"
local keys = require "lib.keys"
local log = require "core.log"
local migrate = require "lib.migrate"
local problem = require "lib.problem"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local rules = require "tenants.rules"
local store = require "tenants.store"
local time = require "lib.time"

local tenants = {}

local KEEP_MS = 60000
local PAGE = 50
local by_slug, by_id = {}, {}

local function record(row)
  local schema = row.schema_name
  return {
    id = row.id, slug = row.slug, name = row.name, region = row.region, status = row.status, schema = schema,
    limits = row.limits and json.decode(row.limits) or nil,
    server = row.database == "main" and "" or row.database .. "/",
    db = schema and (row.database == "main" and schema or row.database .. "/" .. schema),
    key = keys.unwrap(row.data_key, row.slug),
    created_at = time.rfc3339(row.created_at), until_ms = clock.mono_ms() + KEEP_MS,
  }
end

--- The record of a tenant, or nil. May wait; raises when the database is away and it is not known yet.
--- @param ref string|number  slug or id
function tenants.get(ref)
  local kept = by_slug[ref] or by_id[ref]
  if kept and kept.until_ms > clock.mono_ms() then return kept end
  local ok, row = pcall(type(ref) == "number" and store.by_id or store.by_slug, ref)
  if not ok then
    if kept then return kept end  -- better a minute too old than no service
    error(row, 0)
  end
  if not row then
    if kept then tenants.forget(kept.slug) end
    return nil
  end
  local tenant = record(row)
  by_slug[tenant.slug], by_id[tenant.id] = tenant, tenant
  return tenant
end

--- The newest record that this worker has of a tenant, or nil. Asks nobody.
function tenants.known(id) return by_id[id] end

--- Drops the record of a tenant in this worker.
function tenants.forget(slug)
  local tenant = by_slug[slug]
  if not tenant then return end
  by_slug[slug], by_id[tenant.id] = nil, nil
end

--- Drops it in all workers.
function tenants.changed(slug)
  tenants.forget(slug)
  redis.call("PUBLISH", rediskey("tenants:changed"), slug)
end

--- Listens for changes made by others; called once at start.
function tenants.start()
  return redis.subscribe(rediskey("tenants:changed"), tenants.forget)
end

local function database_fault(name)
  if name == nil or name == "main" then return end
  for _, server in ipairs(config.sql.servers or {}) do
    if server.name == name then return end
  end
  return "is no server of sql.servers in the configuration, and not main"
end

local function check(fields)
  local errors = {}
  local function look(name, fault)
    if fault then errors[#errors + 1] = { pointer = "#/" .. name, detail = fault } end
  end
  look("slug", rules.slug_fault(fields.slug))
  look("region", rules.region_fault(fields.region))
  look("admin_email", rules.email_fault(fields.admin_email))
  look("admin_password", rules.password_fault(fields.admin_password))
  look("database", database_fault(fields.database))
  if fields.name == "" then look("name", "must not be empty") end
  if #errors > 0 then
    problem.raise(422, "invalid_body", ("A value is not valid: %s %s."):format(errors[1].pointer, errors[1].detail), { errors = errors })
  end
end

-- Each tenant numbers its rows in a range of its own, so that an id of one tenant is never an id of another. Ids have
-- 50 bits (lib.ids): 2^18 tenants with 2^32 rows a table.
local ROWS = 2 ^ 32

local function bring_up(tenant, files, progress)
  migrate.schema(tenant.server, tenant.schema, files, progress)
  store.number_from(tenant.db, tenant.id * ROWS + 1)
end

local function begun(fields)
  local row = store.by_slug(fields.slug)
  if row and row.status ~= "creating" then
    problem.raise(409, "tenant_exists", ("There is a tenant \"%s\" already; choose another slug."):format(fields.slug))
  end
  if row then
    store.set_names(row.id, fields.name, fields.region, fields.database or row.database)
  else
    store.insert(fields.slug, fields.name, fields.region, fields.database or "main", keys.wrap(crypto.random(32), fields.slug))
    row = store.by_slug(fields.slug)
  end
  if not row.schema_name then
    store.set_schema(row.id, ("%s_t_%d"):format(config.sql.schema, row.id))
  end
  return record(store.by_slug(fields.slug))
end

--- Makes a tenant: schema, tables, data key, first admin. When it dies in the middle, the same call again finishes it:
--- until then the tenant stands at "creating" and nobody can log in to it.
--- @param fields table  { slug, name, region = "US", admin_email, admin_password, database = "main" }
--- @param actor string|nil  who does it, for the audit row
--- @param progress function|nil  progress(schema, file)
--- @param finish function|nil  finish(tx, tenant): more to do in the transaction (platform schema) that makes it active
--- @return table  the record; raises problems
function tenants.create(fields, actor, progress, finish)
  fields = { slug = fields.slug, name = fields.name or fields.slug, region = fields.region or "US",
    admin_email = fields.admin_email, admin_password = fields.admin_password, database = fields.database }
  check(fields)
  local tenant = begun(fields)
  bring_up(tenant, migrate.files("tenant"), progress)
  store.put_own_row(tenant.db, tenant.id, tenant.slug, fields.name)
  agents.ensure_admin(tenant, fields.admin_email, fields.admin_password, actor)
  jobs.put{ tenant_id = tenant.id, kind = "sequence", in_s = 1 }
  db.transaction(db.platform(), function(tx)
    store.set_status(tx, tenant.id, "active")
    audit.platform(tx, { actor = actor or "system", action = "tenant.create", subject = tenant.slug })
    if finish then finish(tx, tenant) end
  end)
  tenants.changed(tenant.slug)
  log.info("tenant.created", { tenant = tenant.slug, schema = tenant.schema })
  return tenants.get(tenant.slug)
end

--- Calls fn(row) for every tenant that is or was at work, reading a page at a time. One that is still being made is
--- left to whoever makes it.
local function each(fn)
  local last = 0
  while true do
    local rows = store.after(last, PAGE)
    for _, row in ipairs(rows) do
      last = row.id
      if row.status == "active" or row.status == "suspended" then fn(row) end
    end
    if #rows < PAGE then return end
  end
end

--- Migrates the platform schema and every tenant's. A tenant that fails does not stop the others.
--- @return number done, table failures  list of { slug, text }
function tenants.migrate_all(progress)
  migrate.platform(progress)
  local files = migrate.files("tenant")
  local done, failures = 0, {}
  each(function(row)
    local ok, err = pcall(function() bring_up(record(row), files, progress) end)
    if ok then
      done = done + 1
    else
      failures[#failures + 1] = { slug = row.slug, text = tostring(err) }
    end
  end)
  return done, failures
end

--- Suspends or reopens: "active", "suspended", "closed".
--- @param transaction function  transaction(fn): runs fn(tx) in a transaction of the platform schema
function tenants.set_status(tenant, status, actor, trace, transaction)
  -- A closed tenant was passed over by the migrations since.
  if status == "active" and tenant.status == "closed" then bring_up(tenant, migrate.files("tenant")) end
  transaction(function(tx)
    store.set_status(tx, tenant.id, status)
    audit.platform(tx, { actor = actor, action = "tenant." .. status, subject = tenant.slug, trace = trace })
  end)
  tenants.changed(tenant.slug)
  -- What is only kept to be quick goes at once; should this not be reached, within the hour.
  if status == "closed" then jobs.put{ tenant_id = tenant.id, kind = "calls.retention" } end
end

--- Sets the limits a tenant has of its own (rules.limits); {} takes them back. In all workers new calls, and states that calls that
--- are up enter, run with them; without Redis it takes until the records are read again (a minute) and the cell is started anew.
--- Raises a problem where they do not fit.
--- @param transaction function  as tenants.set_status takes it
--- @return table|nil  what is kept of them
function tenants.set_limits(tenant, limits, actor, trace, transaction)
  local pointer, fault = rules.limits_fault(limits, config.cells)
  if fault then
    problem.raise(422, "invalid_body", ("A value is not valid: %s %s."):format(pointer, fault), { errors = { { pointer = pointer, detail = fault } } })
  end
  local kept = rules.kept_limits(limits)
  transaction(function(tx)
    store.set_limits(tx, tenant.id, kept and json.encode(kept))
    audit.platform(tx, { actor = actor, action = "tenant.limits", subject = tenant.slug, trace = trace, fields = { limits = kept, before = tenant.limits } })
  end)
  tenants.changed(tenant.slug)
  redis.call("PUBLISH", rediskey("cells:renew"), tenant.slug)
  return kept
end

--- A page for GET /admin/tenants.
function tenants.list(after_id, limit)
  return store.after(after_id, limit)
end

return tenants
