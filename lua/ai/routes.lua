-- SPDX-License-Identifier: Apache-2.0
--- /admin/ai: providers, models, keys, the policy, budgets and prices of the operator, which hold for every tenant.
--- /ai: a tenant's own, what it may spend and what it has spent.
local budget = require "ai.budget"
local cursor = require "lib.cursor"
local json = require "core.json"
local ledger_store = require "ai.ledger.store"
local money = require "lib.money"
local problem = require "lib.problem"
local router = require "lib.router"
local rules = require "ai.rules"
local schema = require "lib.schema"
local setup = require "ai.setup"
local speech_rules = require "speech.rules"
local store = require "ai.store"
local tenants = require "tenants"
local time = require "lib.time"

local routes = {}

local operator = { id = 0, slug = "operator", is_operator = true }

local function owner_of(ctx)
  if not ctx.tenant then return operator end
  return { id = ctx.tenant.id, slug = ctx.tenant.slug, tenant = ctx.tenant, is_operator = ctx.user.role == "platform" }
end

local function limit(doc) return { type = "integer", minimum = 1, maximum = 1e9, nullable = true, description = doc } end
local limits = { requests_per_minute = limit("null: no limit"), tokens_per_minute = limit("input and output"), concurrent = limit("at a time") }

local function with_limits(fields)
  for name, declared in pairs(limits) do fields[name] = declared end
  return fields
end

local name = { type = "string", minLength = 1, maxLength = 50, format = "slug" }
local amount = { type = "string", maxLength = 20, description = "decimal, such as \"12.50\"" }
local currency = { type = "string", minLength = 3, maxLength = 3, default = "USD", description = "ISO 4217", check = function(value)
  if not value:match("^%u%u%u$") then return "must be three capital letters, such as USD" end
end }
local status = { type = "string", enum = { "active", "paused" } }
local any_object = { type = "object", additionalProperties = true }

local provider_body = schema.object(with_limits{
  name = name, like = { type = "string", maxLength = 50, description = "the operator's provider that it is like, with keys of one's own" },
  kind = { type = "string", enum = rules.kinds }, url = { type = "string", maxLength = 500, description = "base URL; set by operators" },
  region = { type = "string", maxLength = 50 }, ca_file = { type = "string", maxLength = 255, description = "certificates on the server; set by operators" },
}, { "name" })
local provider_change = schema.object(with_limits{ url = { type = "string", maxLength = 500 }, region = { type = "string", maxLength = 50 },
  ca_file = { type = "string", maxLength = 255, nullable = true }, status = status })
local model_body = schema.object{
  purpose = { type = "string", enum = rules.purposes, description = "left out: the usual of the provider's kind" },
  quality = { type = "integer", minimum = 0, maximum = 100, default = 50, description = "as its owner sees it; policies compare it" },
  weight = { type = "integer", minimum = 0, maximum = 1e6, default = 1 }, status = { type = "string", enum = { "active", "paused" }, default = "active" },
  flags = rules.flags,
}
local key_body = schema.object(with_limits{ name = { type = "string", minLength = 1, maxLength = 50 },
  key = { type = "string", minLength = 1, maxLength = 4000, description = "kept sealed, never shown" } }, { "name", "key" })
local key_change = schema.object(with_limits{ status = status })
local budget_body = schema.object(with_limits{
  currency = currency, day = amount, month = amount, warn_percent = { type = "integer", minimum = 1, maximum = 99, description = "of a budget: then there is an event" } })
local providers_answer = schema.object{ providers = { type = "array", items = any_object } }
local key_answer = schema.object{ id = { type = "string" }, name = { type = "string" }, status = { type = "string" } }

local function list(ctx) return 200, { providers = setup.list(owner_of(ctx)) } end
local function change_provider(ctx) return setup.change_provider(ctx, owner_of(ctx), ctx.params.provider) end
local function remove_provider(ctx) return setup.remove_provider(ctx, owner_of(ctx), ctx.params.provider) end
local function put_model(ctx) return setup.put_model(ctx, owner_of(ctx), ctx.params.provider, ctx.params.model) end
local function remove_model(ctx) return setup.remove_model(ctx, owner_of(ctx), ctx.params.provider, ctx.params.model) end
local function add_key(ctx) return setup.add_key(ctx, owner_of(ctx), ctx.params.provider) end
local function change_key(ctx) return setup.change_key(ctx, owner_of(ctx), ctx.params.provider, ctx.params.key) end
local function remove_key(ctx) return setup.remove_key(ctx, owner_of(ctx), ctx.params.provider, ctx.params.key) end

local function show_policy(ctx)
  local owner = owner_of(ctx)
  local found = store.policies(owner.id)
  local own, given = found[owner.id], found[0]
  return 200, { policy = own and json.decode(own.policy) or given and json.decode(given.policy) or json.null, own = own ~= nil }
end

local function show_speech(ctx)
  local owner = owner_of(ctx)
  local found = store.speech(owner.id)
  local own, given = found[owner.id], found[0]
  return 200, { speech = own and json.decode(own.speech) or given and json.decode(given.speech) or json.null, own = own ~= nil }
end

-- The same routes for the operator and for a tenant.
local function register_setup(base, roles, has_tenant)
  local function add(method, path, summary, handler, more)
    local route = { method = method, path = base .. path, summary = summary, handler = handler, roles = roles, scope = has_tenant and "ai:admin" or nil }
    if not has_tenant then route.tenant = false end
    for key, value in pairs(more or {}) do route[key] = value end
    router.add(route)
  end
  add("GET", "/providers", "Who may be asked for answers: providers, their models, and their keys without the secrets", list, { response = providers_answer })
  add("POST", "/providers", "Add a provider", function(ctx) return setup.add_provider(ctx, owner_of(ctx), base .. "/providers") end,
    { body = provider_body, status = 201, response = any_object })
  add("PATCH", "/providers/{provider}", "Change or pause a provider", change_provider, { body = provider_change, status = 204 })
  add("DELETE", "/providers/{provider}", "Remove a provider with its models and keys", remove_provider, { status = 204 })
  add("PUT", "/providers/{provider}/models/{model}", "Add a model to a provider, or change it", put_model, { body = model_body, body_optional = true, status = 204 })
  add("DELETE", "/providers/{provider}/models/{model}", "Remove a model", remove_model, { status = 204 })
  add("POST", "/providers/{provider}/keys", "Add a key; several take turns, and one that is refused rests", add_key, { body = key_body, status = 201, response = key_answer })
  add("PATCH", "/providers/{provider}/keys/{key}", "Pause a key, or set one active that was refused", change_key, { body = key_change, status = 204 })
  add("DELETE", "/providers/{provider}/keys/{key}", "Remove a key", remove_key, { status = 204 })
  add("GET", "/policy", "How one of several is chosen", show_policy, { response = schema.object{ policy = any_object, own = { type = "boolean" } } })
  add("PUT", "/policy", "Set how one of several is chosen", function(ctx) return setup.put_policy(ctx, owner_of(ctx), ctx.body) end, { body = rules.policy, status = 204 })
  add("GET", "/speech", "Who recognises, synthesises and converses, in which order, language and voice", show_speech,
    { response = schema.object{ speech = any_object, own = { type = "boolean" } } })
  add("PUT", "/speech", "Set it, whole: a list that is left out is all models of that purpose; local programs come last; realtime models lead conversations", function(ctx)
    return setup.put_speech(ctx, owner_of(ctx), ctx.body)
  end, { body = speech_rules.declared, status = 204 })
  add("DELETE", "/speech", "Speak and listen as the operator has set it, or as without a setting", function(ctx) return setup.put_speech(ctx, owner_of(ctx), nil) end,
    { status = 204 })
  add("DELETE", "/policy", "Choose as the operator's policy says, or as without one", function(ctx) return setup.put_policy(ctx, owner_of(ctx), nil) end, { status = 204 })
end

local function budget_shown(row)
  if not row then return json.null end
  return { currency = row.currency, day = row.day_micros and money.format(row.day_micros) or json.null,
    month = row.month_micros and money.format(row.month_micros) or json.null, warn_percent = row.warn_percent or json.null,
    requests_per_minute = row.requests_per_minute or json.null, tokens_per_minute = row.tokens_per_minute or json.null, concurrent = row.concurrent or json.null }
end

local function show_budget(ctx)
  local by_operator, own = store.budgets(ctx.tenant.id)
  return 200, { operator = budget_shown(by_operator), own = budget_shown(own) }
end

-- Whose budget an operator sets: a tenant's, or by "all" that of those who have none.
local function budget_owner(ctx)
  if ctx.params.tenant == "all" then return operator end
  local tenant = tenants.get(ctx.params.tenant)
  if not tenant then problem.raise(404, "tenant_unknown", ("There is no tenant \"%s\"."):format(ctx.params.tenant)) end
  return { id = tenant.id, slug = tenant.slug, is_operator = true }
end

local function left(part)
  return { spent = money.format(part.spent), reserved = money.format(part.held), limit = part.limit and money.format(part.limit) or json.null }
end

local function usage(ctx)
  local last = ctx.query.to or time.now():sub(1, 10)
  local first = ctx.query.from or last:sub(1, 8) .. "01"
  if first > last then problem.raise(400, "invalid_query", "'from' must not be after 'to'.") end
  local out, now = json.array{}, budget.left(ctx.tenant)
  local prefix = ({ all = "all", provider = "provider:%", campaign = "campaign:%" })[ctx.query.by]
  for _, row in ipairs(ledger_store.spend(ctx.tenant.db, first, last, prefix)) do
    if #row.period == 10 then
      out[#out + 1] = { day = row.period, of = row.scope:match(":(.*)$") or "all", cost = money.format(row.micros), currency = row.currency,
        requests = row.requests, failed = row.failed, input_tokens = row.input_tokens, output_tokens = row.output_tokens }
    end
  end
  return 200, { from = first, to = last, usage = out, budget = { currency = now.currency, day = left(now.day), month = left(now.month) } }
end

local function price_list(ctx)
  local before = ctx.query.cursor and cursor.decode("ai_prices", ctx.query.cursor, 1) or 2 ^ 52
  local rows, out = store.price_history(before, ctx.query.limit + 1), json.array{}
  local function shown(micros) return micros and money.format(micros) or json.null end
  for i = 1, math.min(#rows, ctx.query.limit) do
    local row = rows[i]
    out[i] = { provider = row.provider, model = row.model, valid_from = time.rfc3339(row.valid_from), currency = row.currency, input = shown(row.input),
      output = shown(row.output), cached = shown(row.cached), written = shown(row.written), written_1h = shown(row.written_1h), characters = shown(row.characters),
      minute = shown(row.minute), audio_input = shown(row.audio_input), audio_output = shown(row.audio_output), audio_cached = shown(row.audio_cached) }
  end
  return 200, { prices = out, next = #rows > ctx.query.limit and cursor.encode("ai_prices", rows[ctx.query.limit].id) or json.null }
end

local function register_operator()
  local roles = { "platform" }
  router.add{ method = "GET", path = "/admin/ai/budgets/{tenant}", summary = "What the operator lets a tenant use; 'all': those who have no budget of their own",
    roles = roles, tenant = false, response = schema.object{ operator = any_object, own = any_object }, handler = function(ctx)
      local by_operator, own = store.budgets(budget_owner(ctx).id)
      return 200, { operator = budget_shown(by_operator), own = budget_shown(own) }
    end }
  router.add{ method = "PUT", path = "/admin/ai/budgets/{tenant}", summary = "Set what a tenant may use, whole: what is left out has no limit", roles = roles,
    tenant = false, body = budget_body, status = 204, handler = function(ctx) return setup.put_budget(ctx, budget_owner(ctx), "operator") end }
  router.add{ method = "DELETE", path = "/admin/ai/budgets/{tenant}", summary = "Take it back: that of 'all' holds", roles = roles, tenant = false, status = 204,
    handler = function(ctx) return setup.remove_budget(ctx, budget_owner(ctx), "operator") end }
  router.add{ method = "GET", path = "/admin/ai/prices", summary = "Prices with the times from which they hold, the newest first", roles = roles, tenant = false,
    query = { cursor = { type = "string", maxLength = 500 }, limit = { type = "integer", minimum = 1, maximum = 200, default = 50 } },
    response = schema.object{ prices = { type = "array", items = any_object }, next = { type = "string", nullable = true } }, handler = price_list }
  router.add{ method = "POST", path = "/admin/ai/prices", summary = "Set a price for a million tokens or characters, or a minute of sound, from now or from a time to come", roles = roles,
    tenant = false, status = 201, response = any_object, handler = function(ctx) return setup.add_price(ctx, operator) end,
    body = schema.object({
      provider = { type = "string", maxLength = 50, description = "left out: at every provider" }, model = { type = "string", minLength = 1, maxLength = 100 },
      valid_from = { type = "string", format = "date-time" }, currency = currency, input = amount, output = amount, cached = amount, written = amount, written_1h = amount,
      characters = amount, minute = amount, audio_input = amount, audio_output = amount, audio_cached = amount,
    }, { "model" }) }
end

local function register_tenant()
  router.add{ method = "GET", path = "/ai/budget", summary = "What the tenant may use: by the operator, and by itself", roles = { "admin", "platform" }, scope = "ai:admin",
    response = schema.object{ operator = any_object, own = any_object }, handler = show_budget }
  router.add{ method = "PUT", path = "/ai/budget", summary = "Set what the tenant may use, within what the operator lets it", roles = { "admin", "platform" },
    scope = "ai:admin", body = budget_body, status = 204, handler = function(ctx) return setup.put_budget(ctx, owner_of(ctx), "tenant") end }
  router.add{ method = "DELETE", path = "/ai/budget", summary = "Take the tenant's own limits back", roles = { "admin", "platform" }, scope = "ai:admin", status = 204,
    handler = function(ctx) return setup.remove_budget(ctx, owner_of(ctx), "tenant") end }
  router.add{ method = "GET", path = "/ai/usage", summary = "What AI has cost, day by day, and what is left of the budgets", scope = "ai:admin",
    roles = { "admin", "supervisor", "platform" }, handler = usage, query = {
      from = { type = "string", format = "date" }, to = { type = "string", format = "date" },
      by = { type = "string", enum = { "all", "provider", "campaign" }, default = "all" } },
    response = schema.object{ from = { type = "string" }, to = { type = "string" }, usage = { type = "array", items = any_object }, budget = any_object } }
end

--- Declares the routes.
function routes.register()
  register_setup("/admin/ai", { "platform" }, false)
  register_setup("/ai", { "admin", "platform" }, true)
  register_operator()
  register_tenant()
end

return routes
