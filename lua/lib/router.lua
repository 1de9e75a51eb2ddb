-- SPDX-License-Identifier: Apache-2.0
--- The one gate of HTTP: finds the route, then checks who, how much and whether it is valid, in that order.
---
--- A route:  router.add{ method = "POST", path = "/leads/{leadId}/assign", summary =,
---   roles = { "admin", "supervisor" } | public = true,        "platform" passes wherever a tenant is not needed
---   scope = "leads:write"        for API keys; from method and path unless given; false: every key may
---   params =, query =, body =    declarations of lib.schema (params and query: an object's)
---   body_optional = true         raw = { "text/csv" }: ctx.body is bytes of one of these types
---   response =, status = 201     for /openapi.json
---   limit = "write"              class of lib.ratelimit; false: none (health checks)
---   tenant = false               the route needs no tenant (platform's own routes)
---   refusal = function(problem, path, trace id) -> response    another form of errors than problem documents
---   handler = function(ctx) return status, body, headers end }
---     or return { status =, headers =, stream = function(out) ... end }: out:write(text) -> true | nil, "gone" (waits while
---     the client is slow), out:on_gone(f). What it raises is logged and cuts the reply off.
--- body: table (sent as JSON), string (sent as it is; JSON unless headers say otherwise) or nil.
---
--- ctx: request, params, query, body, user = { id, row, role, tenant, scopes }, tenant = record, trace,
---   ctx:transaction(fn(tx) -> status, body, headers)   in the tenant's schema, with the Idempotency-Key
---   ctx:platform_transaction(fn), ctx:first_answer(), ctx:actor()
---
--- Errors are raised problems or returned ones; anything else that is raised is a 500 with its trace id, logged.
local clock = require "core.clock"
local db = require "lib.db"
local idempotency = require "lib.idempotency"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local origin = require "lib.origin"
local pii = require "lib.pii"
local problem = require "lib.problem"
local ratelimit = require "lib.ratelimit"
local schema = require "lib.schema"
local scopes = require "lib.scopes"
local task = require "core.task"
local timer = require "core.timer"
local trace = require "lib.trace"
local urlencoded = require "lib.urlencoded"

local router = {}

local routes = {}           -- in order of declaration
local root = { static = {} }
local fixed = {}            -- path without parameters -> its node: most requests need no walk
local sockets = {}          -- path -> declaration
local hooks = {}            -- authenticate, tenant, transaction

local LARGE_BODY = 256 * 1024

local methods = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true }
local writes = { POST = true, PUT = true, PATCH = true, DELETE = true }

--- The domains behind the gate, given once at start:
---   ended(user) -> boolean: has this log-in or key been ended since?
---   authenticate(request, may_wait) -> user | nil, problem
---   tenant(slug) -> record | nil
---   transaction(tenant, fn) -> what fn returns
function router.use(given)
  for name, fn in pairs(given) do hooks[name] = fn end
end

local function split(path)
  local parts = {}
  for part in path:gmatch("[^/]+") do parts[#parts + 1] = part end
  return parts
end

local function default_scope(route)
  return (split(route.path)[1] or "root") .. (writes[route.method] and ":write" or ":read")
end

-- What a request's query is checked against; and whether an empty one gives anything, which only a default does.
local function prepare_query(route)
  local declared = {}
  for name, s in pairs(route.query or {}) do declared[name] = s end
  if route.roles then declared.tenantId = declared.tenantId or { type = "string", maxLength = 63 } end
  route.query_schema = schema.object(declared)
  for _, s in pairs(declared) do
    if s.default ~= nil then route.query_has_defaults = true end
  end
end

--- Adds a route; a mistake in the declaration raises at start.
function router.add(route)
  assert(methods[route.method], "route method")
  assert(route.path:sub(1, 1) == "/", "route path")
  assert(type(route.handler) == "function", "route handler of " .. route.path)
  assert(route.public or route.roles, "route " .. route.path .. " says neither roles nor public")
  route.names = {}
  if route.scope == nil then route.scope = default_scope(route) end
  if route.roles then
    route.allowed = {}
    for _, role in ipairs(route.roles) do route.allowed[role] = true end
  end
  prepare_query(route)
  route.params_schema = route.params and schema.object(route.params)
  local node = root
  for _, part in ipairs(split(route.path)) do
    local name = part:match("^{(%w+)}$")
    if name then
      route.names[#route.names + 1] = name
      node.param = node.param or { static = {} }
      node = node.param
    else
      node.static[part] = node.static[part] or { static = {} }
      node = node.static[part]
    end
  end
  if route.path == "/" or #route.names == 0 and not (route.path .. "/"):find("//", 1, true) then fixed[route.path] = node end
  node.methods = node.methods or {}
  assert(not node.methods[route.method], "route " .. route.method .. " " .. route.path .. " is declared twice")
  node.methods[route.method] = route
  routes[#routes + 1] = route
end

--- Adds a WebSocket path: { path =, roles =, summary =, open = function(ctx) -> handler }. open must not yield.
function router.socket(declaration)
  assert(declaration.roles and declaration.open, "socket " .. tostring(declaration.path))
  declaration.allowed = {}
  for _, role in ipairs(declaration.roles) do declaration.allowed[role] = true end
  sockets[declaration.path] = declaration
end

--- All routes, for /openapi.json.
function router.routes()
  return routes
end

local no_values = {}
local none = nil  -- a member that is nil has its place in a table's constructor only as a variable

local function find(path)
  if fixed[path] then return fixed[path], no_values end
  if path ~= "/" and path:sub(-1) == "/" then return nil end
  local node, values = root, {}
  local plain = not path:find("[%z%%\128-\255]")
  for raw in path:gmatch("[^/]+") do
    local part = plain and raw or urlencoded.decode(raw)
    if not part then problem.raise(400, "bad_path", "The path is not percent-encoded UTF-8.") end
    if node.static[part] then
      node = node.static[part]
    elseif node.param then
      node = node.param
      values[#values + 1] = part
    else
      return nil
    end
  end
  return node.methods and node or nil, values
end

local function allow_of(node)
  local list = { "OPTIONS" }
  for method in pairs(node.methods) do list[#list + 1] = method end
  if node.methods.GET then list[#list + 1] = "HEAD" end
  table.sort(list)
  return table.concat(list, ", ")
end

local function preflight(request, node)
  local headers = { Allow = allow_of(node) }
  if request.headers["access-control-request-method"] and origin.fields(request) then
    headers["Access-Control-Allow-Methods"] = headers.Allow
    headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Idempotency-Key, If-Match, traceparent"
    headers["Access-Control-Max-Age"] = "600"
  end
  return { status = 204, headers = headers }
end

local function check_user(ctx, declaration, may_wait)
  local user, why = hooks.authenticate(ctx.request, may_wait)
  if not user then error(why, 0) end
  ctx.user = user
  if not declaration.allowed[user.role] then
    problem.raise(403, "role_not_allowed", ("This needs the role %s; yours is %s."):format(table.concat(declaration.roles, " or "), user.role))
  end
  if declaration.scope and not scopes.allow(user, declaration.scope) then
    problem.raise(403, "scope_missing", ("This API key lacks the scope %s. Make a key that has it."):format(declaration.scope))
  end
end

-- Which tenant a request is about: the credential's. An operator has none and names one by tenantId.
local function tenant_named(ctx)
  local named = ctx.query and ctx.query.tenantId
  if type(ctx.body) == "table" and ctx.body.tenantId ~= nil then
    if named and named ~= ctx.body.tenantId then
      problem.raise(400, "tenant_twice", "tenantId in the query and in the body are not the same.")
    end
    named = ctx.body.tenantId
  end
  return named
end

local function settle_tenant(ctx)
  local named = tenant_named(ctx)
  local own = ctx.user.tenant
  if own and named and named ~= own then
    problem.raise(403, "other_tenant", ("tenantId must be your own tenant, \"%s\", or be left out."):format(own))
  end
  local slug = own or named
  if not slug then
    problem.raise(400, "tenant_missing", "You are logged in as an operator: say which tenant by tenantId.")
  end
  local tenant = hooks.tenant(slug)
  if not tenant then problem.raise(own and 403 or 404, "tenant_unknown", ("There is no tenant \"%s\"."):format(slug)) end
  if tenant.status ~= "active" then
    problem.raise(403, "tenant_" .. tenant.status, ("The tenant \"%s\" is %s; ask whoever runs this installation."):format(slug, tenant.status))
  end
  ctx.tenant = tenant
end

local function refuse_values(errors, what, status)
  problem.raise(status, "invalid_" .. what, ("%s: %s %s."):format(
    #errors == 1 and "A value is not valid" or #errors .. " values are not valid",
    errors[1].pointer or ("'" .. errors[1].parameter .. "'"), errors[1].detail), { errors = errors })
end

local function read_parameters(ctx, route, values)
  local named = {}
  for i, name in ipairs(route.names) do named[name] = values[i] end
  ctx.params = named
  if route.params_schema then
    local checked, errors = schema.check_parameters(route.params_schema, named)
    if errors then refuse_values(errors, "path", 400) end
    ctx.params = checked
  end

  local text = ctx.request.query or ""
  if text == "" and not route.query_has_defaults then
    ctx.query = {}
    return
  end
  local query, message = urlencoded.query(text)
  if not query then problem.raise(400, "bad_query", message:gsub("^%l", string.upper) .. ".") end
  local checked, errors = schema.check_parameters(route.query_schema, query)
  if errors then refuse_values(errors, "query", 400) end
  ctx.query = checked
end

local function content_type(request)
  return (request.headers["content-type"] or ""):lower():match("^%s*([^;%s]*)")
end

local function read_body(ctx, route)
  local bytes = ctx.request.body or ""
  if route.raw then
    local type = content_type(ctx.request)
    for _, wanted in ipairs(route.raw) do
      if wanted == type then
        ctx.body = bytes
        return
      end
    end
    problem.raise(415, "content_type", ("Send Content-Type: %s."):format(table.concat(route.raw, " or ")))
  end
  if not route.body then return end
  if bytes == "" then
    if route.body_optional then
      ctx.body = schema.check(route.body, {})  -- what is left out has its default, all of it too
      return
    end
    problem.raise(400, "body_missing", "This needs a JSON body with Content-Type: application/json.")
  end
  local type = content_type(ctx.request)
  if type ~= "application/json" and not type:match("^application/[%w.-]+%+json$") then
    problem.raise(415, "content_type", "Send the body as JSON with Content-Type: application/json.")
  end
  local value, err = json.decode(bytes)
  if #bytes > LARGE_BODY then task.sleep(0) end  -- a large body is work for the loop: let others have their turn
  if err then problem.raise(400, "bad_json", ("The body is not JSON: %s."):format((err.text:gsub("%.$", "")))) end
  local checked, errors = schema.check(route.body, value)
  if errors then refuse_values(errors, "body", 422) end
  ctx.body = checked
end

local function limit(ctx, route)
  if route.limit == false then return end  -- what a load balancer asks
  local class = route.limit or (route.public and "public") or (writes[route.method] and "write") or "read"
  local user = ctx.user
  local key, names = user and user.limit_key or ctx.request.remote or "?", user and user.limit_names
  if user and not names then  -- kept with the user: auth gives the same one for the same token
    key, names = (user.tenant or "platform") .. ":" .. user.id, {}
    user.limit_key, user.limit_names = key, names
  end
  local allowed, wait_s = ratelimit.take(class, key, names)
  if not allowed then
    problem.raise(429, "too_many_requests", ("You ask too often here. Try again in %d s."):format(wait_s), { headers = { ["Retry-After"] = tostring(wait_s) } })
  end
end

local Context = {}
Context.__index = Context

local function plan_of(ctx, tenant, name)
  return idempotency.plan(tenant, name, ctx.user.id, ctx.idempotency_key, ctx.request)
end

--- One transaction of the tenant's schema, with its events marked and the Idempotency-Key kept.
function Context:transaction(fn)
  local tenant = self.tenant
  local function begin(run) return hooks.transaction(tenant, run) end
  if not self.idempotency_key then return begin(fn) end
  return idempotency.run(plan_of(self, tenant, tenant.db), begin, fn)
end

--- The same in the platform schema. begin(run): who has more to do around the transaction begins it himself.
function Context:platform_transaction(fn, begin)
  local name = db.platform()
  begin = begin or function(run) return db.transaction(name, run) end
  if not self.idempotency_key then return begin(fn) end
  return idempotency.run(plan_of(self, pii.platform, name), begin, fn)
end

--- The first answer to this Idempotency-Key: status, body, headers | nil. For handlers that act before their transaction.
function Context:first_answer()
  if not self.idempotency_key then return nil end
  if self.tenant then return idempotency.first(plan_of(self, self.tenant, self.tenant.db)) end
  return idempotency.first(plan_of(self, pii.platform, db.platform()))
end

--- Who acts, as audit rows and events name it.
function Context:actor()
  return self.user and self.user.id or "anonymous"
end

-- Keeps what was raised; of our own mistakes also where.
local function explain(raised)
  if type(raised) == "table" then return raised end
  return { text = tostring(raised), traceback = debug.traceback("", 2) }
end

-- Whatever a reply's function raises once its head is out can only be logged: with the trace, as any other failure.
local function streamed(ctx, stream)
  return function(out)
    local ok, raised = xpcall(stream, explain, out)
    if ok then return end
    local text = problem.is(raised) and raised.detail or raised.text or raised[1] or "?"
    log.error("http.stream_failed", { trace = ctx.trace.id, method = ctx.request.method, path = ctx.request.path, error = tostring(text), traceback = raised.traceback })
    return false  -- the client sees that it is not whole
  end
end

local function dispatch(ctx)
  local request = ctx.request
  local node, values = find(request.path)
  if not node then
    problem.raise(404, "no_such_path", ("There is nothing at %s. /openapi.json lists what there is."):format(request.path:sub(1, 200)))
  end
  if request.method == "OPTIONS" then return preflight(request, node) end
  local method = request.method == "HEAD" and "GET" or request.method
  local route = node.methods[method]
  if not route then
    local allow = allow_of(node)
    problem.raise(405, "method_not_allowed", ("%s is not possible here; %s are."):format(request.method:sub(1, 20), allow), { headers = { Allow = allow } })
  end
  ctx.route = route

  if not route.public then check_user(ctx, route, true) end
  limit(ctx, route)
  read_parameters(ctx, route, values)
  read_body(ctx, route)
  if not route.public and route.tenant ~= false then settle_tenant(ctx) end
  if writes[method] then ctx.idempotency_key = idempotency.key(request) end

  local status, body, headers = route.handler(ctx)
  if problem.is(status) then error(status, 0) end
  local stream
  if type(status) == "table" then
    stream = streamed(ctx, status.stream)
    status, headers = status.status, status.headers
  end
  -- With room for what most answers have: a table that grows is made anew each time.
  local out = { ["Cache-Control"] = "no-store", ["X-Content-Type-Options"] = "nosniff", ["Content-Type"] = none, traceparent = none, ETag = none }
  if headers then
    for name, value in pairs(headers) do out[name] = value end
  end
  if body ~= nil and not out["Content-Type"] then out["Content-Type"] = "application/json" end
  if type(body) == "table" then body = json.encode(body) end
  return { status = status, headers = out, body = body, stream = stream }
end

-- While the database is away every request fails: the log has one a second, and how many more there were.
local AWAY_TOLD_MS = 1000
local away_told_ms, away_untold = -AWAY_TOLD_MS, 0

local function answer_failure(ctx, raised)
  local path = ctx.request.path
  local respond = ctx.route and ctx.route.refusal or problem.response
  if problem.is(raised) then return respond(raised, path, ctx.trace.id) end
  local text, traceback
  if db.is_failure(raised) then
    text = tostring(raised)
    if raised.code == "closed" or raised.code == "timeout" or raised.code == "limit" or raised.code == "busy" then
      local now = clock.mono_ms()
      if now - away_told_ms >= AWAY_TOLD_MS then
        log.warn("http.database_away", { trace = ctx.trace.id, method = ctx.request.method, path = path, error = text, more = away_untold })
        away_told_ms, away_untold = now, 0
      else
        away_untold = away_untold + 1
      end
      local p = problem.new(503, "database_away",
        writes[ctx.request.method] and "The database does not answer just now. Whether the change was made is not sure: send it again with an Idempotency-Key, or look first."
          or "The database does not answer just now. Try again in a few seconds.",
        { headers = { ["Retry-After"] = "2" } })
      return respond(p, path, ctx.trace.id)
    end
  else
    text, traceback = raised.text or raised[1] or "?", raised.traceback
  end
  log.error("http.failed", { trace = ctx.trace.id, method = ctx.request.method, path = path, error = tostring(text), traceback = traceback })
  local p = problem.new(500, "internal", "This is our fault and has been logged. When you report it, name the trace " .. ctx.trace.id .. ".")
  return respond(p, path, ctx.trace.id)
end

local function new_context(request)
  return setmetatable({ request = request, trace = trace.from(request.headers.traceparent), route = none, user = none, params = none, query = none,
    body = none, tenant = none, idempotency_key = none }, Context)
end

-- Handles of the counters: a label set is long to make, and a route has few.
local unrouted = { path = "none", method = "other" }

local function count_answer(route, answered, seconds)
  local counts = route.counts
  if not counts then
    counts = {}
    route.counts = counts
    route.seconds = metrics.histogram("parley_http_request_seconds", { path = route.path }, "time to answer a request")
  end
  local count = counts[answered]
  if not count then
    count = metrics.counter("parley_http_requests_total", { method = route.method, path = route.path, status = tostring(answered) }, "HTTP requests answered")
    counts[answered] = count
  end
  count(1)
  route.seconds(seconds)
end

--- Answers a request; never raises. This is what core.http serves.
function router.handle(request)
  local started = clock.mono_ms()
  local ctx = new_context(request)
  local ok, response = xpcall(dispatch, explain, ctx)
  if not ok then response = answer_failure(ctx, response) end
  response.headers = response.headers or {}
  if request.headers.origin then
    for name, value in pairs(origin.fields(request) or {}) do response.headers[name] = value end
  end
  response.headers.traceparent = trace.header(ctx.trace)
  count_answer(ctx.route or unrouted, response.status, (clock.mono_ms() - started) / 1000)
  return response
end

-- A browser cannot set headers on a WebSocket, so its token may also come as ?access_token=.
local function with_query_token(request, query)
  if not query.access_token or request.headers.authorization then return request end
  local headers = {}
  for name, value in pairs(request.headers) do headers[name] = value end
  headers.authorization = "Bearer " .. query.access_token
  return setmetatable({ headers = headers }, { __index = request })
end

local open_sockets = {}  -- ws -> { user =, slug = }
local watching

-- Is the tenant at work? When nobody can say, its sockets stay.
local function at_work(slug)
  local known, tenant = pcall(hooks.tenant, slug)
  return not known or (tenant ~= nil and tenant.status == "active")
end

-- A session, key or tenant that ends takes its sockets with it, within a second.
local function close_ended()
  local tenants, over = {}, {}
  for ws, socket in pairs(open_sockets) do
    if hooks.ended and hooks.ended(socket.user) then over[ws] = true end
    tenants[socket.slug] = true
  end
  for ws in pairs(over) do
    open_sockets[ws] = nil
    ws:close(4401, "logged out")
  end
  for slug in pairs(tenants) do tenants[slug] = at_work(slug) end  -- may wait: the list is another one afterwards
  for ws, socket in pairs(open_sockets) do
    if tenants[socket.slug] == false then ws:close(4403, "the tenant is not active") end
  end
end

-- The declaration's handler, under watch while it is open.
local function watched(handler, user, slug)
  watching = watching or timer.every(1000, close_ended)
  local mine
  return {
    on_open = function(ws)
      mine = ws
      open_sockets[ws] = { user = user, slug = slug }
      if handler.on_open then handler.on_open(ws) end
    end,
    on_message = handler.on_message,
    on_drain = handler.on_drain,
    on_close = function(code)
      if mine then open_sockets[mine] = nil end
      if handler.on_close then handler.on_close(code) end
    end,
  }
end

--- Decides about a WebSocket at once, without waiting: handler | nil, response. This is what core.http.upgrade takes.
function router.upgrade(request)
  local ctx = new_context(request)
  local ok, handler = xpcall(function()
    local declaration = sockets[request.path]
    if not declaration then problem.raise(404, "no_such_path", "There is no WebSocket at this path.") end
    local query = urlencoded.query(request.query or "")
    if not query then problem.raise(400, "bad_query", "The query string is not percent-encoded UTF-8.") end
    ctx.query = query
    ctx.request = with_query_token(request, query)
    declaration.scope = declaration.scope or "events:read"
    check_user(ctx, declaration, false)
    if ctx.user.tenant and query.tenantId and query.tenantId ~= ctx.user.tenant then
      problem.raise(403, "other_tenant", "tenantId must be your own tenant, or be left out.")
    end
    ctx.slug = ctx.user.tenant or query.tenantId
    if not ctx.slug then problem.raise(400, "tenant_missing", "You are logged in as an operator: say which tenant by tenantId.") end
    return watched(declaration.open(ctx), ctx.user, ctx.slug)
  end, explain)
  if ok then return handler end
  return nil, answer_failure(ctx, handler)
end

--- The tenant of an open socket: record | nil. May wait.
function router.tenant(slug)
  local tenant = hooks.tenant(slug)
  return tenant and tenant.status == "active" and tenant or nil
end

--- Forgets all routes; for tests.
function router.reset()
  routes, root, fixed, sockets = {}, { static = {} }, {}, {}
end

--- An opaque tag of a row's version, for ETag and If-Match.
function router.etag(id, version)
  return ('"%s-%d"'):format(id, version)
end

--- The version that If-Match demands, or nil when it is absent or "*". Another form is refused.
function router.wanted_version(ctx, id)
  local header = ctx.request.headers["if-match"]
  if not header or header == "*" then return nil end
  local tagged, version = header:match('^"(.-)%-(%d+)"$')
  if tagged ~= id then
    problem.raise(412, "changed", "If-Match is not a tag of this row. Read the row again and send its ETag.")
  end
  return tonumber(version)
end


return router
