-- SPDX-License-Identifier: Apache-2.0
--- /admin/nodes: for operators.
local json = require "core.json"
local nodes = require "nodes"
local problem = require "lib.problem"
local router = require "lib.router"
local schema = require "lib.schema"
local telephony = require "core.telephony"

local routes = {}

local node_schema = schema.object{
  name = { type = "string" }, ari_url = { type = "string" }, user = { type = "string" }, sip = { type = "string", nullable = true },
  status = { type = "string", enum = { "active", "leaving" } }, source = { type = "string", enum = { "configuration", "added" } },
}
local fields = {
  ari_url = { type = "string", maxLength = 1024, description = "http://host:port/ari" },
  user = { type = "string", minLength = 1, maxLength = 80, description = "ARI user" },
  password = { type = "string", minLength = 1, maxLength = 1024, description = "ARI password; kept sealed, never shown" },
  sip = { type = "string", maxLength = 255, description = "host:port of its SIP side" },
}

local function refusal(err, parameter)
  if err.code == "invalid" then
    local where = parameter == err.field and { parameter = err.field } or { pointer = "#/" .. err.field }
    where.detail = err.text
    return problem.new(422, "invalid_body", "A value is not valid: " .. err.text .. ".", { errors = { where } })
  end
  if err.code == "not_found" then return problem.new(404, "node_unknown", "It could not be done: " .. err.text .. ". GET /admin/nodes lists them.") end
  return problem.new(409, "node_" .. err.code, "It could not be done: " .. err.text .. ".")
end

local function shown(body, name)
  return { name = name, ari_url = body.ari_url, user = body.user, sip = body.sip or json.null, status = "active", source = "added" }
end

local function set(ctx, name, new)
  local body, status, answer, headers = ctx.body, nil, nil, nil
  local row, made = nodes.set({ name = name, ari_url = body.ari_url, user = body.user, password = body.password, sip = body.sip },
    { new = new, actor = ctx:actor(), trace = ctx.trace.id, run = function(write)
      local ok, is_new = false, nil
      status, answer, headers = ctx:platform_transaction(function(tx)
        ok, is_new = write(tx)
        if not ok then error(refusal{ code = "exists", text = ("there is a node %s already"):format(name) }, 0) end
        return (new or is_new) and 201 or 200, shown(body, name), { Location = "/admin/nodes/" .. name }
      end)
      return ok or status ~= nil, is_new
    end })
  if not row then return refusal(made, not new and "name" or nil) end
  return status, answer, headers
end

local function list()
  -- What this worker sees of their slots.
  local seen = {}
  for _, slot in ipairs(telephony.status()) do
    local name = slot.slot:match("^(.-)%.")
    local of = seen[name] or { slots = 0, owned = 0 }
    seen[name] = of
    of.slots = of.slots + 1
    if slot.owner and slot.owner ~= "" then of.owned = of.owned + 1 end
  end
  local out = json.array{}
  for i, node in ipairs(nodes.list()) do
    node.sip = node.sip or json.null
    node.slots = seen[node.name] and seen[node.name].slots or 0
    node.slots_owned = seen[node.name] and seen[node.name].owned or 0
    out[i] = node
  end
  return 200, { nodes = out }
end

--- Declares the routes.
function routes.register()
  local roles = { "platform" }
  local with_name = { name = { type = "string", maxLength = 12, description = "1 to 12 of a-z and 0-9; it stands in call ids" } }
  for name, field in pairs(fields) do with_name[name] = field end
  router.add{ method = "GET", path = "/admin/nodes", summary = "Asterisk nodes: of the configuration, and added", roles = roles, tenant = false,
    handler = list, response = schema.object{ nodes = { type = "array", items = node_schema } } }
  router.add{ method = "POST", path = "/admin/nodes", summary = "Add an Asterisk node; every worker takes it up at once", status = 201, roles = roles,
    tenant = false, body = schema.object(with_name, { "name", "ari_url", "user", "password" }), response = node_schema,
    handler = function(ctx) return set(ctx, ctx.body.name, true) end }
  router.add{ method = "PUT", path = "/admin/nodes/{name}", summary = "Add or change an Asterisk node, also one that was leaving", roles = roles,
    tenant = false, body = schema.object(fields, { "ari_url", "user", "password" }), response = node_schema,
    handler = function(ctx) return set(ctx, ctx.params.name, false) end }
  router.add{ method = "DELETE", path = "/admin/nodes/{name}", status = 202, roles = roles, tenant = false, response = schema.object{ name = { type = "string" } },
    summary = "Take a node out of service: no new calls, those that are up end in their own time",
    handler = function(ctx)
      local name, status, answer = ctx.params.name, nil, nil
      local ok, err = nodes.remove(name, { actor = ctx:actor(), trace = ctx.trace.id, run = function(write)
        status, answer = ctx:platform_transaction(function(tx)
          if not write(tx) then error(refusal{ code = "not_found", text = ("there is no node %s"):format(name) }, 0) end
          return 202, { name = name, status = "leaving" }
        end)
        return true
      end })
      if not ok then return refusal(err) end
      return status, answer
    end }
end

return routes
