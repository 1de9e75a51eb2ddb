-- SPDX-License-Identifier: Apache-2.0
--- /auth: log-in, sessions, API keys.
local auth = require "auth"
local ids = require "lib.ids"
local idempotency = require "lib.idempotency"
local jobs = require "lib.jobs"
local json = require "core.json"
local db = require "lib.db"
local problem = require "lib.problem"
local router = require "lib.router"
local schema = require "lib.schema"
local scopes = require "lib.scopes"
local time = require "lib.time"

local routes = {}

local session_schema = schema.object{
  token = { type = "string" }, expires_in = { type = "integer" },
  user = schema.object{
    id = { type = "string" }, role = { type = "string" }, tenant = { type = "string", nullable = true },
    email = { type = "string" }, name = { type = "string", nullable = true },
  },
}

local key_schema = schema.object{
  id = { type = "string" }, name = { type = "string" }, role = { type = "string" }, scopes = { type = "array", items = { type = "string" } },
  key = { type = "string", description = "only in the answer to its creation" },
  created_at = { type = "string", format = "date-time" }, expires_at = { type = "string", format = "date-time", nullable = true },
  revoked_at = { type = "string", format = "date-time", nullable = true }, last_used_at = { type = "string", format = "date-time", nullable = true },
}

local SCOPES_MAX = 1000  -- bytes, with a space between

local function scope_fault(scope)
  if not scope:match("^[%l%-]+:[%l%*]+$") and scope ~= "*" then return "must be like leads:read, leads:write, leads:* or *" end
end

local function scopes_fault(list)
  if #table.concat(list, " ") > SCOPES_MAX then return ("must have at most %d bytes together; leads:* stands for all of leads"):format(SCOPES_MAX) end
end

local function socket_token(ctx)
  local token = auth.token(ctx.user, auth.SOCKET_TOKEN_S)
  return 200, { token = token, expires_in = auth.SOCKET_TOKEN_S }
end

local function me(ctx)
  local found = auth.me(ctx.user)
  if not found then problem.raise(401, "session_over", "You are no longer known here. Log in again.") end
  return 200, found
end

local function create_key(ctx)
  local body = ctx.body
  -- A key makes no key that may do more than itself.
  for i, scope in ipairs(body.scopes) do
    if not scopes.allow(ctx.user, scope) then
      problem.raise(403, "scope_missing", ("This API key has not the scope %s itself, so it cannot give it to another."):format(scope),
        { errors = { { pointer = "#/scopes/" .. i - 1, detail = "is more than the key that asks has" } } })
    end
  end
  local key = { name = body.name, role = body.role, scopes = body.scopes, expires = body.expires_at and time.from_rfc3339(body.expires_at) or nil }
  local id, text  -- stay nil when a repeat gets the first answer
  local status, answer, headers = ctx:platform_transaction(function(tx)
    id, text = auth.create_key(tx, ctx.tenant, key, ctx.user, ctx.trace)
    return 201, { id = id, key = text, name = body.name, role = body.role, scopes = body.scopes, expires_at = body.expires_at or json.null }
  end)
  if id then auth.tell_key(ctx.tenant, "key.create", id, { role = body.role, scopes = body.scopes }, ctx.user, ctx.trace) end
  return status, answer, headers
end

local function list_keys(ctx)
  local out = json.array({})
  for i, row in ipairs(auth.list_keys(ctx.tenant)) do
    local words = json.array({})
    for word in row.scopes:gmatch("%S+") do words[#words + 1] = word end
    out[i] = { id = ids.encode("pk", row.id), name = row.name, role = row.role, scopes = words, created_at = time.rfc3339(row.created_at),
      expires_at = time.rfc3339(row.expires_at) or json.null, revoked_at = time.rfc3339(row.revoked_at) or json.null,
      last_used_at = time.rfc3339(row.last_used_at) or json.null }
  end
  return 200, { keys = out }
end

local function revoke_key(ctx)
  local public = ctx.params.keyId
  local status = ctx:platform_transaction(function(tx)
    if not auth.revoke_key(tx, ctx.tenant, public, ctx.user, ctx.trace) then
      problem.raise(404, "key_not_found", "There is no such key, or it has been revoked already.")
    end
    return 204
  end)
  auth.tell_key(ctx.tenant, "key.revoke", public, nil, ctx.user, ctx.trace)  -- also for a repeat: the first try may have died before it
  return status
end

local everyone = { "admin", "supervisor", "agent", "platform" }

local function register_sessions()
  router.add{
    method = "POST", path = "/auth/login", summary = "Log in with e-mail and password", public = true, response = session_schema,
    body = schema.object({
      email = { type = "string", minLength = 3, maxLength = 254 }, password = { type = "string", minLength = 1, maxLength = 256 },
      tenant = { type = "string", maxLength = 63, description = "only needed when the e-mail is known in several" },
    }, { "email", "password" }),
    handler = function(ctx) return auth.login(ctx.request, ctx.body.email, ctx.body.password, ctx.body.tenant, ctx.trace) end,
  }
  router.add{
    method = "POST", path = "/auth/refresh", summary = "Change the refresh cookie for a new session", public = true, response = session_schema,
    handler = function(ctx) return auth.refresh(ctx.request) end,
  }
  router.add{
    method = "POST", path = "/auth/logout", summary = "End the session", public = true, status = 204,
    handler = function(ctx) return auth.logout(ctx.request) end,
  }
  router.add{ method = "GET", path = "/auth/me", summary = "Who am I", roles = everyone, tenant = false, scope = "auth:me", handler = me }
  router.add{
    method = "POST", path = "/auth/token", summary = "A token of one minute, to open a WebSocket with ?access_token=", roles = everyone, tenant = false,
    scope = false, response = schema.object{ token = { type = "string" }, expires_in = { type = "integer" } }, handler = socket_token,
  }
end

local function register_keys()
  local admins = { "admin" }
  router.add{
    method = "POST", path = "/auth/keys", summary = "Make an API key", status = 201, roles = admins, response = key_schema, handler = create_key,
    body = schema.object({
      tenantId = { type = "string", maxLength = 63 }, name = { type = "string", minLength = 1, maxLength = 255 },
      role = { type = "string", enum = { "admin", "supervisor", "agent" }, default = "agent" },
      scopes = { type = "array", minItems = 1, maxItems = 30, check = scopes_fault, items = { type = "string", maxLength = 40, check = scope_fault } },
      expires_at = { type = "string", format = "date-time" },
    }, { "name", "scopes" }),
  }
  router.add{ method = "GET", path = "/auth/keys", summary = "List API keys", roles = admins, response = schema.object{ keys = { type = "array", items = key_schema } }, handler = list_keys }
  router.add{ method = "DELETE", path = "/auth/keys/{keyId}", summary = "Revoke an API key", status = 204, roles = admins, handler = revoke_key }
end

--- Declares the routes and the job that forgets what has ended.
function routes.register()
  register_sessions()
  register_keys()
  jobs.define("prune", {
    every_s = 3600, lease_s = 600, platform = true,
    run = function()
      auth.prune()
      idempotency.prune(db.platform())
      return true
    end,
  })
end

return routes
