-- SPDX-License-Identifier: Apache-2.0
--- /agents: the people of a tenant.
local agents = require "agents"
local cursor = require "lib.cursor"
local ids = require "lib.ids"
local json = require "core.json"
local problem = require "lib.problem"
local router = require "lib.router"
local schema = require "lib.schema"

local routes = {}

local agent_schema = schema.object{
  id = { type = "string" }, tenantId = { type = "string" }, email = { type = "string" }, name = { type = "string", nullable = true },
  role = { type = "string", enum = agents.roles }, status = { type = "string", enum = { "active", "inactive" } },
  version = { type = "integer" }, createdAt = { type = "string", format = "date-time" }, updatedAt = { type = "string", format = "date-time" },
}

local function shown(ctx, user)
  -- An agent sees colleagues' names, not their addresses.
  local email = (ctx.user.role ~= "agent" or ctx.user.id == user.id) and user.email or nil
  return {
    id = user.id, tenantId = ctx.tenant.slug, email = email, name = user.name or json.null, role = user.role, status = user.status,
    version = user.version, createdAt = user.created_at, updatedAt = user.updated_at,
  }
end

local function list(ctx)
  local after = ctx.query.cursor and cursor.decode("agents", ctx.query.cursor, 1) or 0
  local users = agents.list(ctx.tenant, after, ctx.query.limit + 1, ctx.query.role, ctx.query.status)
  local out = json.array({})
  for i = 1, math.min(#users, ctx.query.limit) do out[i] = shown(ctx, users[i]) end
  local more = #users > ctx.query.limit
  return 200, { agents = out, next = more and cursor.encode("agents", users[ctx.query.limit].row) or json.null }
end

local function found(ctx)
  local user = agents.get(ctx.tenant, ctx.params.agentId)
  if not user then problem.raise(404, "agent_not_found", "There is no such user. GET /agents lists them.") end
  return user
end

local function read(ctx)
  local user = found(ctx)
  return 200, shown(ctx, user), { ETag = router.etag(user.id, user.version) }
end

local function create(ctx)
  local body = ctx.body
  local hash = agents.hash_password(body.password)
  agents.announce(ctx.tenant, body.email)
  local id
  local status, answer, headers = ctx:transaction(function(tx)
    id = agents.add(ctx.tenant, tx, { email = body.email, name = body.name, role = body.role, password_hash = hash }, ctx:actor(), ctx.trace.id)
    local public = ids.encode("us", id)
    return 201, { id = public, tenantId = ctx.tenant.slug, email = body.email:lower(), name = body.name or json.null, role = body.role, status = "active", version = 1 },
      { Location = "/agents/" .. public, ETag = router.etag(public, 1) }
  end)
  if id then agents.link(ctx.tenant, body.email, id) end
  return status, answer, headers
end

local function change(ctx)
  local user = found(ctx)
  local body = ctx.body
  local changes = { role = body.role, status = body.status }
  if body.name == json.null then changes.name = false elseif body.name then changes.name = body.name end
  if body.password then changes.password_hash = agents.hash_password(body.password) end
  local wanted = router.wanted_version(ctx, user.id)
  local access_changed  -- stays nil for a repeat: the first try may have died before it ended what was open
  ctx:transaction(function(tx)
    access_changed = agents.change(ctx.tenant, tx, user.row, changes, wanted, ctx:actor(), ctx.trace.id)
    return 200
  end)
  if access_changed ~= false then agents.revoke(ctx.tenant, user.row) end
  return read(ctx)
end

--- Declares the routes.
function routes.register()
  local everyone = { "admin", "supervisor", "agent", "platform" }
  local email = { type = "string", format = "email", maxLength = 254 }
  local name = { type = "string", minLength = 1, maxLength = 255, nullable = true }
  local password = { type = "string", minLength = 8, maxLength = 256 }
  router.add{
    method = "GET", path = "/agents", summary = "List the people of the tenant", roles = everyone, handler = list,
    query = {
      role = { type = "string", enum = agents.roles }, status = { type = "string", enum = { "active", "inactive" } },
      cursor = { type = "string", maxLength = 500 }, limit = { type = "integer", minimum = 1, maximum = 200, default = 50 },
    },
    response = schema.object{ agents = { type = "array", items = agent_schema }, next = { type = "string", nullable = true } },
  }
  router.add{
    method = "POST", path = "/agents", summary = "Add a person", status = 201, roles = { "admin", "platform" }, response = agent_schema, handler = create,
    body = schema.object({
      tenantId = { type = "string", maxLength = 63 }, email = email, password = password,
      name = { type = "string", minLength = 1, maxLength = 255 }, role = { type = "string", enum = agents.roles, default = "agent" },
    }, { "email", "password" }),
  }
  router.add{ method = "GET", path = "/agents/{agentId}", summary = "One person", roles = everyone, response = agent_schema, handler = read }
  router.add{
    method = "PATCH", path = "/agents/{agentId}", summary = "Change name, role, status or password", roles = { "admin", "platform" }, response = agent_schema, handler = change,
    body = schema.object{
      tenantId = { type = "string", maxLength = 63 }, name = name, password = password,
      role = { type = "string", enum = agents.roles }, status = { type = "string", enum = { "active", "inactive" } },
    },
  }
end

return routes
