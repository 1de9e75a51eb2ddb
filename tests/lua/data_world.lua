-- SPDX-License-Identifier: Apache-2.0
--- What specs with a real database share: schemas made anew, the routes of the domains, requests without a socket.
--- They need the host, with a configuration whose sql.schema ends in "_test" (everything in it and in its tenants' schemas is
--- dropped) and a redis.prefix of its own; else data_world is false.
local in_host = pcall(require, "core.process") and pcall(require, "core.sql") and not require("core.sql").stand_in
local config = in_host and require "core.config"
if not in_host or not config.sql.schema:find("_test$") then return false end

local audit = require "audit"
local auth = require "auth"
local json = require "core.json"
local migrate = require "lib.migrate"
local revoked = require "auth.revoked"
local router = require "lib.router"
local sql = require "core.sql"
local tenants = require "tenants"
local worker = require "core.worker"
migrate.root = (worker.root or ".") .. "/schema"

--- token: whose requests world.ask sends; nil: nobody's.
local world = { token = nil }

--- status, decoded body, headers. A header that is false is left out.
function world.ask(method, path, body, headers)
  local all = { host = "x:1", authorization = world.token and "Bearer " .. world.token }
  for name, value in pairs(headers or {}) do all[name] = value or nil end
  if body then all["content-type"] = "application/json" end
  local plain, query = path:match("^([^?]*)%??(.*)$")
  local answer = router.handle{ method = method, path = plain, query = query, headers = all, body = body and json.encode(body) or "", remote = "192.0.2.1", secure = false }
  local text = answer.body and answer.body ~= "" and json.decode(answer.body)
  return answer.status, text or answer.body, answer.headers
end

local function drop_all()
  local rows = sql.query("", "SELECT schema_name AS s FROM information_schema.schemata WHERE schema_name = ? OR schema_name LIKE ?",
    config.sql.schema, (config.sql.schema:gsub("_", "\\_")) .. "\\_%")
  for _, row in ipairs(rows) do sql.query("", ("DROP DATABASE `%s`"):format(row.s)) end
end

--- An empty platform with the routes of these domains.
function world.begin(domains)
  drop_all()
  router.reset()
  tenants.migrate_all()
  router.use{ authenticate = auth.authenticate, tenant = tenants.get, transaction = audit.transaction, ended = revoked.has }
  for _, domain in ipairs(domains) do require(domain .. ".routes").register() end
end

--- A token of the person; raises when he cannot log in.
function world.login(email, password)
  local status, body = world.ask("POST", "/auth/login", { email = email, password = password }, { authorization = false })
  assert(status == 200, status .. " " .. json.encode(body))
  return body.token
end

return world
