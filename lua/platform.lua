-- SPDX-License-Identifier: Apache-2.0
--- Puts the domains of data and HTTP together: hooks of the router, routes, jobs, subscriptions.
local agents_routes = require "agents.routes"
local audit = require "audit"
local audit_routes = require "audit.routes"
local auth = require "auth"
local auth_routes = require "auth.routes"
local jobs = require "lib.jobs"
local leads_routes = require "leads.routes"
local openapi = require "lib.openapi"
local json = require "core.json"
local revoked = require "auth.revoked"
local router = require "lib.router"
local sequencer = require "audit.sequencer"
local tenants = require "tenants"
local tenants_routes = require "tenants.routes"

local platform = {}

--- Declares the routes and jobs. Other domains add theirs before or after.
--- @param version string  of the program
function platform.register(version)
  router.use{ authenticate = auth.authenticate, tenant = tenants.get, transaction = audit.transaction }
  auth_routes.register()
  tenants_routes.register()
  agents_routes.register()
  leads_routes.register()
  audit_routes.register()
  local document
  router.add{
    method = "GET", path = "/openapi.json", summary = "This API", public = true, limit = "read",
    handler = function()
      document = document or json.encode(openapi.document(router.routes(), version))
      return 200, document, { ["Cache-Control"] = "public, max-age=60" }
    end,
  }
end

--- Starts what runs in every worker: listening to other workers, the sequencer's look at old marks, jobs.
function platform.start()
  tenants.start()
  revoked.start()
  sequencer.start(tenants.get)
  jobs.put{ kind = "prune", in_s = 60 }
  jobs.start()
end

return platform
