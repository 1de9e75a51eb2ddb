-- SPDX-License-Identifier: Apache-2.0
--- /admin/prices: for operators. They are changed by publishing rules: POST /admin/scripts/bundles.
local json = require "core.json"
local operator = require "scripts.operator"
local prices = require "money.prices"
local problem = require "lib.problem"
local router = require "lib.router"
local schema = require "lib.schema"

local routes = {}

local function list()
  local found, version = prices.list()
  local plans = prices.plans()
  if not found or not plans then
    return problem.new(503, "prices_away", "The prices cannot be read just now. Try again in a moment.", { headers = { ["Retry-After"] = "2" } })
  end
  return 200, { version = version, shipped = version == operator.shipped().hash, currency = found.currency, models = found.models,
    minutes = found.minutes or json.null, plans = plans }
end

--- Declares the routes.
function routes.register()
  router.add{
    method = "GET", path = "/admin/prices", summary = "What AI models, minutes and plans cost, and which version of the rules says so",
    roles = { "platform" }, tenant = false, handler = list,
    response = schema.object{ version = { type = "string", format = "hash" }, shipped = { type = "boolean", description = "nothing was published: as Parley came" },
      currency = { type = "string" }, models = { type = "object", additionalProperties = true }, minutes = { type = "object", additionalProperties = true, nullable = true },
      plans = { type = "object", additionalProperties = true } },
  }
end

return routes
