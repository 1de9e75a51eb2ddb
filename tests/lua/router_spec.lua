-- SPDX-License-Identifier: Apache-2.0
require "stand_in"
local json = require "core.json"
local openapi = require "lib.openapi"
local problem = require "lib.problem"
local router = require "lib.router"
local schema = require "lib.schema"

local user  -- who asks; nil: nobody
local handled

local function ask(method, path, body, headers)
  local all = { host = "x:1" }
  for name, value in pairs(headers or {}) do all[name] = value end
  if body and not all["content-type"] then all["content-type"] = "application/json" end
  local plain, query = path:match("^([^?]*)%??(.*)$")
  local answer = router.handle{ method = method, path = plain, query = query, headers = all, body = body or "", remote = "192.0.2.1", secure = false }
  return answer, answer.body and json.decode(answer.body)
end

describe("the router", function()
  before_each(function()
    router.reset()
    handled = nil
    user = { id = "us_1", row = 1, role = "agent", tenant = "acme" }
    router.use{
      authenticate = function()
        if user then return user end
        return nil, problem.new(401, "no_credentials", "Log in.")
      end,
      tenant = function(slug) return slug ~= "gone" and { slug = slug, status = slug == "asleep" and "suspended" or "active", db = "x" } or nil end,
      transaction = function(_, fn) return fn({}) end,
    }
    router.add{ method = "GET", path = "/things/{thingId}", roles = { "agent", "platform" }, handler = function(ctx) handled = ctx return 200, { id = ctx.params.thingId } end }
    router.add{ method = "GET", path = "/things/new", roles = { "admin" }, handler = function() return 200, {} end }
    router.add{
      method = "POST", path = "/things", status = 201, roles = { "agent" },
      query = { dry = { type = "boolean" } },
      body = schema.object({ tenantId = { type = "string" }, size = { type = "integer", minimum = 1 } }, { "size" }),
      response = schema.object{ id = { type = "string" } },
      handler = function(ctx) handled = ctx return 201, { id = "1" }, { Location = "/things/1" } end,
    }
    router.add{ method = "GET", path = "/broken", public = true, handler = function() error("a bug") end }
    router.add{ method = "GET", path = "/refuses", public = true, handler = function() return problem.new(409, "no", "No.") end }
    router.add{ method = "GET", path = "/list", public = true, handler = function() return 200, { list = json.array({}) } end }
  end)

  it("hands a reply that is written while it is made to the host, and cuts off one that fails", function()
    local logged = {}
    local log = require "core.log"
    local kept = log.error
    log.error = function(event, fields) logged[#logged + 1] = { event, fields } end
    router.add{ method = "GET", path = "/told", roles = { "agent" }, handler = function(ctx)
      return { status = 200, headers = { ["Content-Type"] = "text/event-stream" }, stream = function(out)
        out:write("data: " .. ctx.user.id .. "\n\n")
        if ctx.query.tenantId then error("half way") end
      end }
    end }
    local written = {}
    local out = { write = function(_, text) written[#written + 1] = text return true end }
    local answer = ask("GET", "/told")
    assert.equal(200, answer.status)
    assert.equal("text/event-stream", answer.headers["Content-Type"])
    assert.equal("no-store", answer.headers["Cache-Control"])
    assert.is_nil(answer.body)
    assert.is_nil(answer.stream(out))
    assert.same({ "data: us_1\n\n" }, written)
    local cut = ask("GET", "/told?tenantId=acme").stream(out)
    log.error = kept
    assert.is_false(cut)
    assert.equal("http.stream_failed", logged[1][1])
    assert.truthy(logged[1][2].error:find("half way", 1, true))
  end)

  it("hands path, query and body over with their types", function()
    local answer, body = ask("POST", "/things?dry=true", '{"size":5}')
    assert.equal(201, answer.status)
    assert.equal("1", body.id)
    assert.equal("/things/1", answer.headers.Location)
    assert.is_true(handled.query.dry)
    assert.equal(5, handled.body.size)
    ask("POST", "/things?dry=false", '{"size":5}')
    assert.is_false(handled.query.dry)
    ask("GET", "/things/a%20b")
    assert.equal("a b", handled.params.thingId)
    assert.equal("acme", handled.tenant.slug)
  end)

  it("fills in a query's defaults when there is no query at all", function()
    router.add{ method = "GET", path = "/paged", public = true, query = { limit = { type = "integer", default = 20 }, after = { type = "string" } },
      handler = function(ctx) return 200, { limit = ctx.query.limit } end }
    assert.equal(20, select(2, ask("GET", "/paged")).limit)
    assert.equal(5, select(2, ask("GET", "/paged?limit=5")).limit)
    ask("GET", "/things/1")
    assert.same({}, handled.query)
    assert.equal(400, ask("GET", "/things/1?what=1").status)
  end)

  it("finds a path in every way it may be written, and no other", function()
    assert.equal(200, ask("GET", "/list").status)
    assert.equal(200, ask("GET", "/%6Cist").status)
    assert.equal(200, ask("GET", "//list").status)
    assert.equal(404, ask("GET", "/list/").status)
    assert.equal(400, ask("GET", "/list%").status)
    assert.equal(400, ask("GET", "/things/%FF").status)
    assert.equal(400, ask("GET", "/things/a%00b").status)
    assert.equal(405, ask("POST", "/list", "{}").status)
  end)

  it("prefers a fixed segment to a parameter", function()
    assert.equal(403, ask("GET", "/things/new").status)
  end)

  it("answers 404, and 405 with what is allowed", function()
    assert.equal(404, ask("GET", "/nothing").status)
    assert.equal(404, ask("GET", "/things/1/").status)
    local answer, body = ask("DELETE", "/things")
    assert.equal(405, answer.status)
    assert.equal("OPTIONS, POST", answer.headers.Allow)
    assert.equal("method_not_allowed", body.code)
    assert.equal(204, ask("OPTIONS", "/things").status)
    assert.equal(200, ask("HEAD", "/things/1").status)
  end)

  it("refuses who is not known, whose role does not fit and a key without the scope", function()
    user.role = "supervisor"
    assert.equal(403, ask("GET", "/things/1").status)
    user = { id = "pk_1", row = 1, role = "agent", tenant = "acme", scopes = { "things:read" } }
    assert.equal(200, ask("GET", "/things/1").status)
    local _, body = ask("POST", "/things", '{"size":1}')
    assert.equal("scope_missing", body.code)
    router.add{ method = "GET", path = "/any", roles = { "agent" }, scope = false, handler = function() return 200, {} end }
    assert.equal(200, ask("GET", "/any").status)
    assert.truthy(openapi.document(router.routes(), "1").paths["/any"].get.description:find("keys: any", 1, true))
    user.scopes = { "things:*" }
    assert.equal(201, ask("POST", "/things", '{"size":1}').status)
    user = nil
    assert.equal(401, ask("GET", "/things/1").status)
  end)

  it("takes the tenant from the credential, and no other", function()
    assert.equal(201, ask("POST", "/things", '{"size":1,"tenantId":"acme"}').status)
    local answer, body = ask("POST", "/things", '{"size":1,"tenantId":"other"}')
    assert.equal(403, answer.status)
    assert.equal("other_tenant", body.code)
    assert.equal(403, ask("GET", "/things/1?tenantId=other").status)
    user.tenant = "asleep"
    assert.equal(403, ask("GET", "/things/1").status)
    user = { id = "op_1", row = 1, role = "platform" }
    assert.equal(400, ask("GET", "/things/1").status)
    assert.equal(200, ask("GET", "/things/1?tenantId=acme").status)
    assert.equal(404, ask("GET", "/things/1?tenantId=gone").status)
  end)

  -- A model that was added with no body at all had no quality, and the database refused it: our fault, said the answer.
  it("gives a body that may be left out, and is, its members' defaults", function()
    local taken
    router.add{ method = "PUT", path = "/optional", roles = { "agent" }, body_optional = true,
      body = { type = "object", properties = { weight = { type = "integer", default = 1 } } },
      handler = function(ctx)
        taken = ctx.body
        return 204
      end }
    assert.equal(204, ask("PUT", "/optional").status)
    assert.same({ weight = 1 }, taken)
  end)

  it("answers every kind of bad input with a problem document, never with 500", function()
    local cases = {
      { 400, "bad_json", '{"size":' }, { 400, "body_missing", "" }, { 415, "content_type", "<x/>", "text/xml" },
      { 422, "invalid_body", '{"size":"x"}' }, { 422, "invalid_body", '{"size":1,"extra":1}' }, { 422, "invalid_body", "[1]" },
      { 422, "invalid_body", "null" }, { 422, "invalid_body", "5" },
    }
    for _, case in ipairs(cases) do
      local answer, body = ask("POST", "/things", case[3], case[4] and { ["content-type"] = case[4] })
      assert.equal(case[1], answer.status)
      assert.equal(case[2], body.code)
      assert.equal("application/problem+json", answer.headers["Content-Type"])
      assert.equal(case[1], body.status)
      assert.equal("/things", body.instance)
      assert.is_nil(handled)
    end
    assert.equal(400, ask("GET", "/things/%ff").status)
    assert.equal(400, ask("GET", "/things/1?a=%ff").status)
    assert.equal(400, ask("GET", "/things/1?nope=1").status)
  end)

  it("names our own mistake by its trace and says nothing else of it", function()
    local answer, body = ask("GET", "/broken", nil, { traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" })
    assert.equal(500, answer.status)
    assert.equal("0af7651916cd43dd8448eb211c80319c", body.trace)
    assert.truthy(answer.headers.traceparent:find("0af7651916cd43dd8448eb211c80319c", 1, true))
    assert.is_nil(answer.body:find("a bug", 1, true))
  end)

  it("takes a returned problem like a raised one", function()
    assert.equal(409, ask("GET", "/refuses").status)
  end)

  it("refuses a route that is declared twice or for nobody", function()
    assert.has_error(function() router.add{ method = "GET", path = "/list", public = true, handler = function() end } end)
    assert.has_error(function() router.add{ method = "GET", path = "/x", handler = function() end } end)
  end)

  it("decides about WebSockets at once", function()
    local slug
    router.socket{ path = "/ws", roles = { "agent" }, open = function(ctx) slug = ctx.slug return {} end }
    local function upgrade(path, query) return router.upgrade{ method = "GET", path = path, query = query or "", headers = {}, remote = "x" } end
    assert.is_function(upgrade("/ws").on_open)
    assert.equal("acme", slug)
    assert.equal(404, select(2, upgrade("/other")).status)
    assert.equal(403, select(2, upgrade("/ws", "tenantId=other")).status)
    user.role = "admin"
    assert.equal(403, select(2, upgrade("/ws")).status)
    user = nil
    assert.equal(401, select(2, upgrade("/ws")).status)
  end)

  it("declares itself as OpenAPI", function()
    local document = openapi.document(router.routes(), "1")
    assert.equal("3.1.0", document.openapi)
    local post = document.paths["/things"].post
    assert.equal(1, post.requestBody.content["application/json"].schema.properties.size.minimum)
    assert.is_false(post.requestBody.content["application/json"].schema.additionalProperties)
    assert.truthy(post.responses["201"])
    assert.equal("thingId", document.paths["/things/{thingId}"].get.parameters[1].name)
  end)
end)

describe("a version tag", function()
  local function ctx(header) return { request = { headers = { ["if-match"] = header } } } end
  it("is understood only as the row's own", function()
    assert.equal(7, router.wanted_version(ctx(router.etag("ld_x", 7)), "ld_x"))
    assert.is_nil(router.wanted_version(ctx(nil), "ld_x"))
    assert.is_nil(router.wanted_version(ctx("*"), "ld_x"))
    assert.has_error(function() router.wanted_version(ctx('"ld_y-7"'), "ld_x") end)
    assert.has_error(function() router.wanted_version(ctx('"7"'), "ld_x") end)
  end)
end)
