-- SPDX-License-Identifier: Apache-2.0
--- /health, /ready, /metrics, /openapi.json: how the program itself is.
local config = require "core.config"
local db = require "lib.db"
local json = require "core.json"
local metrics = require "core.metrics"
local openapi = require "lib.openapi"
local redis = require "core.redis"
local router = require "lib.router"
local sql = require "core.sql"

local status = {}

status.version = "0.1.0"

local document

local function ready()
  local report, ok = {}, true
  local function part(name, fine, text)
    report[name] = fine and "ok" or text
    ok = ok and fine
  end
  local found, err = sql.query(db.platform(), "SELECT 1 AS one")
  part("database", found ~= nil, err and err.text)
  local pong
  pong, err = redis.call("PING")
  part("redis", pong == "PONG" and redis.connected(), err and err.text or pong and "a part of the cluster is away" or "no answer")
  if require("nodes").any() then
    local slots = require("core.telephony").status()
    local mine, owned, somebody = 0, 0, 0
    for _, slot in ipairs(slots) do
      if slot.mine then mine = mine + 1 end
      if slot.owner and slot.owner ~= "" then somebody = somebody + 1 end
      if slot.mine and slot.state == "ready" then owned = owned + 1 end
    end
    part("telephony", owned == mine and somebody > 0,
      somebody == 0 and "no slot has an owner; is an Asterisk node up?" or ("%d of %d slots are ready"):format(owned, mine))
    report.slots = owned
  end
  if config.cells and config.cells.weak then report.cells = "weak" end
  report.status = ok and "ready" or "not ready"
  return ok and 200 or 503, report
end

--- Declares the routes.
function status.register()
  metrics.gauge("cells_weak", nil, config.cells and config.cells.weak and 1 or 0, "workers that may run tenants' scripts behind fewer walls")
  local open = { public = true, tenant = false, limit = false }
  local function add(path, summary, handler)
    router.add{ method = "GET", path = path, summary = summary, public = open.public, tenant = open.tenant, limit = open.limit, handler = handler }
  end
  add("/health", "The program runs", function() return 200, { status = "ok", version = status.version } end)
  add("/ready", "It can do its work: database, Redis, telephony", ready)
  add("/metrics", "Metrics of this host, for Prometheus", function()
    return 200, metrics.text(), { ["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8" }
  end)
  -- Encoded once, for it takes as long as hundreds of other requests; and limited, for it is large.
  router.add{ method = "GET", path = "/openapi.json", summary = "This API, as OpenAPI 3.1", public = true, tenant = false, handler = function()
    document = document or json.encode(openapi.document(router.routes(), status.version))
    return 200, document, { ["Content-Type"] = "application/json" }
  end }
end

return status
