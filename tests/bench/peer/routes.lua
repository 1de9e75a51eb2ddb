-- SPDX-License-Identifier: Apache-2.0
-- The peer's routes. They check a bearer token by HMAC, read the same row by its key, and write the same lead, outbox and audit
-- rows in one transaction. They do not seal or hash anything, know no rate limit, no Idempotency-Key and no schema of a body.
-- luacheck: std ngx_lua
local cjson = require "cjson"
local mysql = require "luasql.mysql"

local routes = {}
local db
local columns = "id, phone_possible, score, status, source, campaign_id, call_id, assigned_agent_id, assigned_at, last_contacted_at, "
  .. "version, created_at, updated_at, HEX(name) AS name, HEX(phone) AS phone"

function routes.open(socket, schema)
  db = assert(mysql.mysql():connect(schema, "root", "", "localhost", 0, socket))
end

local function reply(status, value)
  local text = cjson.encode(value)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Content-Length"] = #text
  ngx.print(text)
end

local function allowed()
  local token = ngx.var.http_authorization
  local claims, mac = (token or ""):match("^Bearer ([%w_-]+)%.([%w+/=]+)$")
  if claims and ngx.encode_base64(ngx.hmac_sha1("a key of the bench", claims)) == mac then return true end
  reply(401, { status = 401 })
end

function routes.hello()
  reply(200, { status = "ok", version = "0.1.0" })
end

local function lead(id)
  local cursor = assert(db:execute("SELECT " .. columns .. " FROM `lead` WHERE id = " .. id .. " AND deleted_at IS NULL"))
  local row = cursor:fetch({}, "a")
  cursor:close()
  return row
end

function routes.read()
  if not allowed() then return end
  local id = ngx.var.uri:match("^/leads/(%d+)$")
  local row = id and lead(id)
  if not row then return reply(404, { status = 404 }) end
  reply(200, row)
end

local function quoted(text)
  return text and "'" .. db:escape(text) .. "'" or "NULL"
end

function routes.create()
  if not allowed() then return end
  ngx.req.read_body()
  local ok, body = pcall(cjson.decode, ngx.req.get_body_data() or "")
  if not ok or type(body) ~= "table" or not body.name then return reply(400, { status = 400 }) end
  assert(db:execute("START TRANSACTION"))
  assert(db:execute(("INSERT INTO `lead` (name, phone, score, status, source) VALUES (%s, %s, 0, 'new', 'call')"):format(quoted(body.name), quoted(body.phone))))
  local id = db:getlastautoid()
  assert(db:execute(("INSERT INTO outbox (type, subject, data, `at`) VALUES ('lead.created', 'peer_%s', '{}', NOW(6))"):format(id)))
  assert(db:execute(("INSERT INTO audit_pending (`at`, actor, action, subject, fields) VALUES (NOW(6), 'peer', 'lead.create', 'peer_%s', '[]')"):format(id)))
  assert(db:execute("COMMIT"))
  reply(201, lead(id))
end

return routes
