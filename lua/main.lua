-- SPDX-License-Identifier: Apache-2.0
--- A worker's beginning: every domain declares itself, then the gates open.
local worker = require "core.worker"
local migrate = require "lib.migrate"
migrate.root = worker.root .. "/schema"
math.randomseed(require("core.clock").wall_us() % 2 ^ 31 + worker.index)

local agents_routes = require "agents.routes"
local ai_chat_routes = require "ai.chat_routes"
local ai_compatible_routes = require "ai.compatible.routes"
local ai_providers = require "ai.providers"
local ai_routes = require "ai.routes"
local audit = require "audit"
local audit_routes = require "audit.routes"
local auth = require "auth"
local auth_routes = require "auth.routes"
local calls = require "calls"
local calls_routes = require "calls.routes"
local config = require "core.config"
local http = require "core.http"
local jobs = require "lib.jobs"
local kb = require "kb"
local leads_routes = require "leads.routes"
local money_routes = require "money.routes"
local nodes = require "nodes"
local nodes_routes = require "nodes.routes"
local operator = require "scripts.operator"
local page = require "plugins.page"
local remains = require "lib.remains"
local reviews_routes = require "ai.reviews.routes"
local revoked = require "auth.revoked"
local router = require "lib.router"
local scripts = require "scripts"
local scripts_routes = require "scripts.routes"
local sequencer = require "audit.sequencer"
local sim_routes = require "sim.routes"
local status = require "lib.status"
local tenants = require "tenants"
local tenants_routes = require "tenants.routes"

-- Without Redis there are no leases, and so no telephony.
local has_telephony = config.redis and (config.redis.url or "") ~= ""

operator.shipped()  -- a worker that does not find them must not start

-- First of all: the first slot may be ready before anything else is.
if has_telephony then
  calls.start()
  nodes.start()
end

router.use{ authenticate = auth.authenticate, tenant = tenants.get, transaction = audit.transaction, ended = revoked.has }

status.register()
auth_routes.register()
tenants_routes.register()
agents_routes.register()
leads_routes.register()
calls_routes.register()
nodes_routes.register()
scripts_routes.register()
money_routes.register()
ai_routes.register()
ai_chat_routes.register()
ai_compatible_routes.register()
sim_routes.register()
audit_routes.register()
reviews_routes.register()
page.register()

tenants.start()
revoked.start()
scripts.start()
ai_providers.start()
kb.start()
sequencer.start(tenants.get)
jobs.start()
remains.start(tenants.get)

http.serve(router.handle)
http.upgrade(router.upgrade)
