-- SPDX-License-Identifier: Apache-2.0
--- /openapi.json (OpenAPI 3.1), made from the routes as they are declared.
local json = require "core.json"

local openapi = {}

local kept = { "enum", "minLength", "maxLength", "minimum", "maximum", "format", "minItems", "maxItems", "default", "description" }

--- A declaration of lib.schema as JSON Schema.
function openapi.schema(s)
  local out = {}
  if s.type ~= "any" then out.type = s.nullable and json.array({ s.type, "null" }) or s.type end
  for _, name in ipairs(kept) do out[name] = s[name] end
  if s.enum then
    local values = { unpack(s.enum) }
    if s.nullable then values[#values + 1] = json.null end
    out.enum = json.array(values)
  end
  if s.items then out.items = openapi.schema(s.items) end
  if s.type == "object" then
    if s.properties and next(s.properties) then
      out.properties = {}
      for name, member in pairs(s.properties) do out.properties[name] = openapi.schema(member) end
    end
    if s.required and #s.required > 0 then out.required = json.array({ unpack(s.required) }) end
    if type(s.additionalProperties) == "table" then
      out.additionalProperties = openapi.schema(s.additionalProperties)
    else
      out.additionalProperties = s.additionalProperties == true
    end
  end
  return out
end

local function parameters_of(route)
  local list = {}
  for _, name in ipairs(route.names) do
    list[#list + 1] = { name = name, ["in"] = "path", required = true, schema = openapi.schema(route.params and route.params[name] or { type = "string" }) }
  end
  local names = {}
  for name in pairs(route.query or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    list[#list + 1] = { name = name, ["in"] = "query", description = route.query[name].description, schema = openapi.schema(route.query[name]) }
  end
  if not route.public and not (route.query and route.query.tenantId) then
    list[#list + 1] = { name = "tenantId", ["in"] = "query", description = "Your own tenant; an operator names one here.", schema = { type = "string" } }
  end
  if route.method ~= "GET" and not route.public then
    list[#list + 1] = { name = "Idempotency-Key", ["in"] = "header", description = "A repeat with the same key and body gets the first answer.", schema = { type = "string", maxLength = 255 } }
  end
  return list
end

local function operation(route)
  local status = tostring(route.status or (route.method == "GET" and 200) or 200)
  local success = { description = route.summary or "Done" }
  if route.response then
    success.content = { ["application/json"] = { schema = openapi.schema(route.response) } }
  end
  local out = {
    summary = route.summary,
    tags = json.array({ route.path:match("^/([^/]+)") or "root" }),
    parameters = json.array(parameters_of(route)),
    responses = {
      [status] = success,
      default = { description = "A problem document (RFC 9457)", content = { ["application/problem+json"] = { schema = { ["$ref"] = "#/components/schemas/Problem" } } } },
    },
  }
  if route.body then
    out.requestBody = { required = not route.body_optional, content = { ["application/json"] = { schema = openapi.schema(route.body) } } }
  elseif route.raw then
    out.requestBody = { required = true, content = {} }
    for _, type in ipairs(route.raw) do out.requestBody.content[type] = { schema = { type = "string", format = "binary" } } end
  end
  if route.public then
    out.security = json.array({})
  else
    out.description = "Roles: " .. table.concat(route.roles, ", ") .. ". Scope for API keys: " .. (route.scope or "any") .. "."
  end
  return out
end

local problem_schema = {
  type = "object",
  required = json.array({ "type", "title", "status", "detail", "code" }),
  properties = {
    type = { type = "string", format = "uri" },
    title = { type = "string" },
    status = { type = "integer" },
    detail = { type = "string" },
    code = { type = "string" },
    instance = { type = "string" },
    trace = { type = "string" },
    errors = { type = "array", items = { type = "object", properties = { pointer = { type = "string" }, parameter = { type = "string" }, detail = { type = "string" } } } },
  },
}

--- @param routes table  router.routes()
--- @param version string
function openapi.document(routes, version)
  local paths = {}
  for _, route in ipairs(routes) do
    if not route.hidden then
      paths[route.path] = paths[route.path] or {}
      paths[route.path][route.method:lower()] = operation(route)
    end
  end
  return {
    openapi = "3.1.0",
    info = { title = "Parley", version = version, description = "Multi-tenant AI call centre and lead management." },
    paths = paths,
    components = {
      schemas = { Problem = problem_schema },
      securitySchemes = {
        bearer = { type = "http", scheme = "bearer", description = "A token of POST /auth/login, or an API key (pk_...)." },
        cookie = { type = "apiKey", ["in"] = "cookie", name = "parley_session" },
      },
    },
    security = json.array({ { bearer = json.array({}) }, { cookie = json.array({}) } }),
  }
end

return openapi
