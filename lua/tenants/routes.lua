-- SPDX-License-Identifier: Apache-2.0
--- /admin/tenants: for operators.
local cursor = require "lib.cursor"
local json = require "core.json"
local problem = require "lib.problem"
local router = require "lib.router"
local rules = require "tenants.rules"
local schema = require "lib.schema"
local tenants = require "tenants"
local time = require "lib.time"

local routes = {}

local tenant_schema = schema.object{
  id = { type = "string" }, name = { type = "string" }, region = { type = "string" },
  status = { type = "string", enum = { "creating", "active", "suspended", "closed" } },
  created_at = { type = "string", format = "date-time" }, limits = rules.limits,
}

local function shown(tenant, status)
  return { id = tenant.slug, name = tenant.name, region = tenant.region, status = status or tenant.status, created_at = tenant.created_at,
           limits = tenant.limits }
end

local function create(ctx)
  local status, body, headers = ctx:first_answer()
  if status then return status, body, headers end
  local made
  return ctx:platform_transaction(function()
    return 201, shown(made, "active"), { Location = "/admin/tenants/" .. made.slug }
  end, function(run)
    -- The answer is kept in the transaction that makes the tenant active; what comes before may be done twice.
    tenants.create(ctx.body, ctx:actor(), nil, function(tx, tenant)
      made = tenant
      status, body, headers = run(tx)
    end)
    return status, body, headers
  end)
end

local function list(ctx)
  local after = ctx.query.cursor and cursor.decode("tenants", ctx.query.cursor, 1) or 0
  local rows = tenants.list(after, ctx.query.limit + 1)
  local out = json.array({})
  for i = 1, math.min(#rows, ctx.query.limit) do
    local row = rows[i]
    out[i] = { id = row.slug, name = row.name, region = row.region, status = row.status, created_at = time.rfc3339(row.created_at) }
  end
  local more = #rows > ctx.query.limit
  return 200, { tenants = out, next = more and cursor.encode("tenants", rows[ctx.query.limit].id) or json.null }
end

local function found(ctx)
  local tenant = tenants.get(ctx.params.tenant)
  if not tenant then problem.raise(404, "tenant_unknown", ("There is no tenant \"%s\"."):format(ctx.params.tenant)) end
  return tenant
end

local function finished(ctx)
  local tenant = found(ctx)
  if tenant.status == "creating" then
    problem.raise(409, "tenant_creating", "The tenant is not finished; create it once more with the same slug.")
  end
  return tenant
end

local function set_limits(ctx)
  local tenant = finished(ctx)
  local status, body, headers
  tenants.set_limits(tenant, ctx.body, ctx:actor(), ctx.trace.id, function(write)
    status, body, headers = ctx:platform_transaction(function(tx)
      write(tx)
      return 200, { limits = rules.kept_limits(ctx.body) }
    end)
  end)
  return status, body, headers
end

local function change(ctx)
  local tenant = finished(ctx)
  local status, body, headers
  tenants.set_status(tenant, ctx.body.status, ctx:actor(), ctx.trace.id, function(write)
    status, body, headers = ctx:platform_transaction(function(tx)
      write(tx)
      return 200, shown(tenant, ctx.body.status)
    end)
  end)
  return status, body, headers
end

--- Declares the routes.
function routes.register()
  local roles = { "platform" }
  router.add{
    method = "POST", path = "/admin/tenants", summary = "Create a tenant with its first admin; a creation that died goes on", status = 201,
    roles = roles, tenant = false, limit = "heavy", response = tenant_schema, handler = create,
    body = schema.object({
      slug = { type = "string", maxLength = 40, description = "the tenant's public id" },
      name = { type = "string", minLength = 1, maxLength = 255 },
      region = { type = "string", minLength = 2, maxLength = 2, default = "US", description = "how phone numbers without + are read" },
      admin_email = { type = "string", format = "email", maxLength = 254 },
      admin_password = { type = "string", minLength = 8, maxLength = 256 },
      database = { type = "string", maxLength = 32, description = "name of the SQL server in the configuration" },
    }, { "slug", "admin_email", "admin_password" }),
  }
  router.add{
    method = "GET", path = "/admin/tenants", summary = "List tenants", roles = roles, tenant = false, handler = list,
    query = { cursor = { type = "string", maxLength = 500 }, limit = { type = "integer", minimum = 1, maximum = 200, default = 50 } },
    response = schema.object{ tenants = { type = "array", items = tenant_schema }, next = { type = "string", nullable = true } },
  }
  router.add{
    method = "GET", path = "/admin/tenants/{tenant}", summary = "One tenant", roles = roles, tenant = false, response = tenant_schema,
    handler = function(ctx) return 200, shown(found(ctx)) end,
  }
  router.add{
    method = "PATCH", path = "/admin/tenants/{tenant}", summary = "Suspend, reopen or close a tenant", roles = roles, tenant = false,
    body = schema.object({ status = { type = "string", enum = { "active", "suspended", "closed" } } }, { "status" }),
    response = tenant_schema, handler = change,
  }
  router.add{
    method = "PUT", path = "/admin/tenants/{tenant}/limits", roles = roles, tenant = false, body = rules.limits, handler = set_limits,
    summary = "Set the limits of a tenant's scripts; what is left out is as the configuration has it. The next state of each call runs with them",
    response = schema.object{ limits = rules.limits },
  }
end

return routes
