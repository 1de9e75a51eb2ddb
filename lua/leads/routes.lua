-- SPDX-License-Identifier: Apache-2.0
--- /leads, as in the Lead Management API of the requirements, with GET and PATCH of one lead besides.
local campaigns = require "campaigns"
local cursor = require "lib.cursor"
local ids = require "lib.ids"
local json = require "core.json"
local leads = require "leads"
local problem = require "lib.problem"
local router = require "lib.router"
local rules = require "leads.rules"
local schema = require "lib.schema"

local routes = {}

local text_or_null = { type = "string", nullable = true }
local lead_schema = schema.object{
  id = { type = "string" }, tenantId = { type = "string" }, name = text_or_null, phone = text_or_null,
  phonePossible = { type = "boolean", nullable = true, description = "false: has the form of a number, but no such number can exist" },
  email = text_or_null, score = { type = "number" },
  scoreReasons = { type = "array", items = { type = "string" }, nullable = true, description = "what the scoring script gave; null: the score was given by hand" },
  status = { type = "string", enum = rules.statuses }, source = { type = "string", enum = rules.sources },
  campaignId = text_or_null, assignedAgentId = text_or_null, assignedAt = { type = "string", format = "date-time", nullable = true },
  lastContactedAt = { type = "string", format = "date-time", nullable = true }, notes = text_or_null,
  data = { type = "object", additionalProperties = true, nullable = true }, version = { type = "integer" },
  createdAt = { type = "string", format = "date-time" }, updatedAt = { type = "string", format = "date-time" },
}

-- A lead as JSON. Its members are always the same, so no table is made of them.
local written = json.record{
  "id", "tenantId", "name", "phone", "phonePossible", "email", "score", "scoreReasons", "status", "source", "campaignId", "assignedAgentId",
  "assignedAt", "lastContactedAt", "notes", "data", "version", "createdAt", "updatedAt",
}

local function shown(tenant, lead)
  return written(
    lead.id, tenant.slug, lead.name, lead.phone, lead.phone_possible, lead.email, lead.score, lead.score_reasons, lead.status, lead.source,
    lead.campaign_id and campaigns.public_id(lead.campaign_id), lead.agent_id and ids.encode("us", lead.agent_id),
    lead.assigned_at, lead.last_contacted_at, lead.notes, lead.data, lead.version, lead.created_at, lead.updated_at)
end

local function answer(ctx, status, lead)
  return status, shown(ctx.tenant, lead), { ETag = router.etag(lead.id, lead.version) }
end

local function options(ctx)
  return { actor = ctx:actor(), trace = ctx.trace.id, checked = true }
end

-- Fields of a body under the names of the domain.
local function fields_of(body)
  return {
    name = body.name, phone = body.phone, email = body.email, score = body.score, status = body.status, source = body.source,
    campaign = body.campaignId, notes = body.notes, data = body.data, last_contacted_at = body.lastContactedAt,
  }
end

local function create(ctx)
  local fields, how = fields_of(ctx.body), options(ctx)
  how.decided = leads.decide(ctx.tenant, fields)
  return ctx:transaction(function(tx)
    local lead = leads.create(ctx.tenant, tx, fields, how)
    local status, body, headers = answer(ctx, 201, lead)
    headers.Location = "/leads/" .. lead.id
    return status, body, headers
  end)
end

local function read(ctx)
  local lead = leads.get(ctx.tenant, ctx.params.leadId)
  if not lead then problem.raise(404, "lead_not_found", "There is no such lead, or it has been deleted. GET /leads lists them.") end
  return answer(ctx, 200, lead)
end

local function wanted_version(ctx)
  return router.wanted_version(ctx, ctx.params.leadId) or (type(ctx.body) == "table" and ctx.body.version) or nil
end

local function update(ctx)
  local wanted = wanted_version(ctx)
  return ctx:transaction(function(tx)
    return answer(ctx, 200, leads.update(ctx.tenant, tx, ctx.params.leadId, fields_of(ctx.body), wanted, options(ctx)))
  end)
end

local function assign(ctx)
  local agent = ctx.body.agentId
  if ctx.user.role == "agent" and agent ~= ctx.user.id then
    problem.raise(403, "only_yourself", "As an agent you can take a lead yourself; a supervisor gives it to others.")
  end
  local wanted = wanted_version(ctx)
  return ctx:transaction(function(tx)
    return answer(ctx, 200, leads.assign(ctx.tenant, tx, ctx.params.leadId, agent, wanted, options(ctx)))
  end)
end

local function delete(ctx)
  local wanted = wanted_version(ctx)
  return ctx:transaction(function(tx)
    leads.delete(ctx.tenant, tx, ctx.params.leadId, wanted, options(ctx))
    return 204
  end)
end

local function filters_of(ctx)
  local q = ctx.query
  local filters = {
    status = q.status, source = q.source, score_min = q.scoreMin, score_max = q.scoreMax,
    created_from = q.createdFrom, created_to = q.createdTo, q = q.q, phone = q.phone, email = q.email,
  }
  if q.assignedAgentId == "none" then
    filters.unassigned = true
  elseif q.assignedAgentId then
    filters.agent = ids.decode("us", q.assignedAgentId)
    if not filters.agent then
      problem.raise(400, "invalid_query", "'assignedAgentId' must be the id of an agent, or none.", { errors = { { parameter = "assignedAgentId", detail = "is not the id of an agent" } } })
    end
  end
  if q.campaignId then
    local campaign = campaigns.find(ctx.tenant, q.campaignId)
    if not campaign then return nil end
    filters.campaign = campaign.id
  end
  return filters
end

local function list(ctx)
  local sort, limit = ctx.query.sort, ctx.query.limit
  local order = "leads:" .. sort
  local after = ctx.query.cursor and { cursor.decode(order, ctx.query.cursor, sort:find("score", 1, true) and 2 or 1) } or nil
  local filters = filters_of(ctx)
  local found = filters and leads.list(ctx.tenant, filters, sort, after, limit + 1) or {}
  local out = {}
  for i = 1, math.min(#found, limit) do out[i] = shown(ctx.tenant, found[i]) end
  local following = #found > limit and cursor.encode(order, leads.place(found[limit], sort)) or json.null
  return 200, ('{"leads":[%s],"next":%s}'):format(table.concat(out, ","), json.encode(following))
end

-- The body of a lead: the fields of the domain, campaign under its name in requests.
local function body_schema(nullable)
  local properties = { tenantId = { type = "string", maxLength = 63 } }
  for name, declared in pairs(rules.fields) do
    local copy = {}
    for key, value in pairs(declared) do copy[key] = value end
    copy.nullable = nullable and (name == "name" or name == "phone" or name == "email" or name == "notes" or name == "campaign") or nil
    properties[name == "campaign" and "campaignId" or name] = copy
  end
  return properties
end

--- Declares the routes.
function routes.register()
  local everyone, seniors = { "admin", "supervisor", "agent", "platform" }, { "admin", "supervisor", "platform" }
  local changes = body_schema(true)
  changes.version = { type = "integer", minimum = 1, maximum = 2 ^ 31, description = "change it only if it is still at this version (as If-Match)" }
  changes.lastContactedAt = { type = "string", format = "date-time", nullable = true }

  router.add{
    method = "GET", path = "/leads", summary = "List leads", roles = everyone, handler = list,
    query = {
      status = { type = "string", enum = rules.statuses }, source = { type = "string", enum = rules.sources },
      assignedAgentId = { type = "string", maxLength = 64, description = "an agent's id, or none" }, campaignId = { type = "string", minLength = 1, maxLength = 64 },
      scoreMin = { type = "number", minimum = 0, maximum = 100 }, scoreMax = { type = "number", minimum = 0, maximum = 100 },
      createdFrom = { type = "string", format = "date-time" }, createdTo = { type = "string", format = "date-time" },
      q = { type = "string", minLength = 1, maxLength = 255, description = "words of the name, or a whole phone number or e-mail" },
      phone = { type = "string", minLength = 3, maxLength = 40 }, email = { type = "string", minLength = 3, maxLength = 254 },
      sort = { type = "string", enum = { "created", "-created", "score", "-score" }, default = "-created" },
      cursor = { type = "string", maxLength = 500 }, limit = { type = "integer", minimum = 1, maximum = 200, default = 50 },
    },
    response = schema.object{ leads = { type = "array", items = lead_schema }, next = { type = "string", nullable = true } },
  }
  router.add{ method = "POST", path = "/leads", summary = "Create a lead", status = 201, roles = everyone, body = schema.object(body_schema(false)), response = lead_schema, handler = create }
  router.add{ method = "GET", path = "/leads/{leadId}", summary = "One lead", roles = everyone, response = lead_schema, handler = read }
  for _, method in ipairs({ "PUT", "PATCH" }) do
    router.add{
      method = method, path = "/leads/{leadId}", summary = "Change the fields that are sent; null clears one", roles = everyone,
      body = schema.object(changes), response = lead_schema, handler = update,
    }
  end
  router.add{ method = "DELETE", path = "/leads/{leadId}", summary = "Delete a lead", status = 204, roles = seniors, handler = delete }
  router.add{
    method = "POST", path = "/leads/{leadId}/assign", summary = "Give a lead to an agent", roles = everyone, response = lead_schema, handler = assign,
    body = schema.object({
      tenantId = { type = "string", maxLength = 63 }, agentId = { type = "string", minLength = 1, maxLength = 64 },
      version = { type = "integer", minimum = 1, maximum = 2 ^ 31 },
    }, { "agentId" }),
  }
end

return routes
