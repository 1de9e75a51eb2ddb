-- SPDX-License-Identifier: Apache-2.0
--- Providers, keys, budgets and prices over their routes, with a real database.
require "stand_in"
local world = require "data_world"
if not world then
  describe("ai setup", function() pending("needs the host with a database") end)
  return
end
local auth = require "auth"
local clock = require "core.clock"
local json = require "core.json"
local providers = require "ai.providers"
local sql = require "core.sql"
local task = require "core.task"
local tenants = require "tenants"

local operator, admin, other
local acme

local function as(token, method, path, body, headers)
  world.token = token
  return world.ask(method, path, body, headers)
end

local function targets_of(tenant)
  local found = {}
  for _, target in ipairs(providers.of(tenant or acme).targets) do found[#found + 1] = target.provider .. "/" .. target.model .. "/" .. (target.key or "-") end
  table.sort(found)
  return found
end

local function add(token, base, body, keys, models)
  local status, answer = as(token, "POST", base .. "/providers", body)
  assert.equal(201, status, json.encode(answer))
  for _, key in ipairs(keys or {}) do assert.equal(201, (as(token, "POST", base .. "/providers/" .. body.name .. "/keys", { name = key, key = "secret-" .. key }))) end
  for _, model in ipairs(models or {}) do assert.equal(204, (as(token, "PUT", base .. "/providers/" .. body.name .. "/models/" .. model, {}))) end
end

setup(function()
  world.begin{ "auth", "ai" }
  auth.put_operator("op@x.example", "a-Long-password")
  for _, slug in ipairs{ "acme", "other" } do
    tenants.create{ slug = slug, name = slug, admin_email = slug .. "@x.example", admin_password = "a-Long-password" }
  end
  operator, admin, other = world.login("op@x.example", "a-Long-password"), world.login("acme@x.example", "a-Long-password"), world.login("other@x.example", "a-Long-password")
  acme = tenants.get("acme")
end)

describe("an operator's provider", function()
  it("is there for every tenant, once it has a key and a model", function()
    assert.same({}, targets_of())
    add(operator, "/admin/ai", { name = "main", kind = "claude", url = "https://api.example.com" })
    assert.same({}, targets_of())
    assert.equal(201, (as(operator, "POST", "/admin/ai/providers/main/keys", { name = "one", key = "secret-one" })))
    assert.equal(204, (as(operator, "PUT", "/admin/ai/providers/main/models/big", { quality = 90, flags = { max_output_tokens = 100, transcription = false } })))
    assert.same({ "main/big/secret-one" }, targets_of())
    local target = providers.of(acme).targets[1]
    assert.same({ "claude", "https://api.example.com", 90, 100, false, "chat", 0 },
      { target.kind, target.url, target.quality, target.flags.max_output_tokens, target.flags.transcription, target.purpose, target.owner })
  end)

  it("is seen by a tenant without its address and without its keys", function()
    local status, body = as(admin, "GET", "/ai/providers")
    assert.equal(200, status)
    local shown = body.providers[1]
    assert.same({ "main", "operator", 0 }, { shown.name, shown.owner, #shown.keys })
    assert.is_nil(shown.url)
    assert.is_nil(json.encode(body):find("secret", 1, true))
  end)

  it("is not a tenant's to change", function()
    assert.equal(404, (as(admin, "PATCH", "/ai/providers/main", { status = "paused" })))
    assert.equal(404, (as(admin, "POST", "/ai/providers/main/keys", { name = "x", key = "y" })))
    assert.equal(403, (as(admin, "GET", "/admin/ai/providers")))
  end)

  it("gives its keys their turns", function()
    assert.equal(201, (as(operator, "POST", "/admin/ai/providers/main/keys", { name = "two", key = "secret-two" })))
    local seen = {}
    for _ = 1, 10 do
      local key = providers.of(acme).targets[1].key
      seen[key] = (seen[key] or 0) + 1
    end
    assert.same({ ["secret-one"] = 5, ["secret-two"] = 5 }, seen)
  end)

  it("never shows a key again, and keeps it sealed", function()
    local _, body = as(operator, "GET", "/admin/ai/providers")
    assert.is_nil(json.encode(body):find("secret-", 1, true))
    for _, row in ipairs(sql.query("parley_test", "SELECT secret FROM ai_key")) do assert.is_nil(row.secret:find("secret-", 1, true)) end
  end)

  it("is refused with a key that would end a header", function()
    local status, body = as(operator, "POST", "/admin/ai/providers/main/keys", { name = "evil", key = "k\r\nX: y" })
    assert.equal(422, status)
    assert.equal("#/key", body.errors[1].pointer)
  end)
end)

describe("a key that was refused", function()
  local function refuse(key, class, seconds, for_good)
    for _ = 1, 2 do
      local target = providers.of(acme).targets[1]
      if target.key == key then return providers.rest(target, class, seconds, for_good) end
    end
    error("no turn for " .. key)
  end

  it("because of its rate rests so long, and the others are asked", function()
    refuse("secret-one", "rate", 0.3)
    for _ = 1, 4 do assert.same({ "main/big/secret-two" }, targets_of()) end
    task.sleep(350)
    local seen = {}
    for _ = 1, 4 do seen[targets_of()[1]] = true end
    assert.is_true(seen["main/big/secret-one"])
  end)

  it("because of its rate is asked all the same when all others rest too, unless they must not be asked", function()
    refuse("secret-one", "rate", 0.2)
    providers.rest(providers.of(acme).targets[1], "rate", 0.4)
    for _ = 1, 3 do assert.same({ "main/big/secret-one" }, targets_of()) end
    providers.rest(providers.of(acme).targets[1], "quota", 0.3)
    for _ = 1, 3 do assert.same({ "main/big/secret-two" }, targets_of()) end
    task.sleep(450)
  end)

  it("has another key of the same model beside it", function()
    local target = providers.of(acme).targets[1]
    local another = providers.another(acme, target)
    assert.equal(target.model, another.model)
    assert.are_not.equal(target.key, another.key)
  end)

  it("was disabled for all tenants, until a person acted, by one request that was not allowed (403)", function()
    refuse("secret-one", "auth")
    task.sleep(300)
    for _ = 1, 4 do assert.same({ "main/big/secret-two" }, targets_of()) end
    local _, body = as(operator, "GET", "/admin/ai/providers")
    for _, key in ipairs(body.providers[1].keys) do
      assert.equal("active", key.status)
      if key.name == "one" then assert.equal(204, (as(operator, "PATCH", "/admin/ai/providers/main/keys/" .. key.id, { status = "active" }))) end
    end
  end)

  it("for good is marked so for all to see, and comes back when an operator says so", function()
    refuse("secret-one", "auth", nil, true)
    task.sleep(300)
    local _, body = as(operator, "GET", "/admin/ai/providers")
    local id
    for _, key in ipairs(body.providers[1].keys) do
      if key.name == "one" then
        id = key.id
        assert.equal("refused", key.status)
      end
    end
    for _ = 1, 4 do assert.same({ "main/big/secret-two" }, targets_of()) end
    assert.equal(204, (as(operator, "PATCH", "/admin/ai/providers/main/keys/" .. id, { status = "active" })))
    local seen = {}
    for _ = 1, 4 do seen[targets_of()[1]] = true end
    assert.is_true(seen["main/big/secret-one"])
  end)

  it("does not rest for what is no fault of the key", function()
    providers.rest(providers.of(acme).targets[1], "server", 60)
    providers.rest(providers.of(acme).targets[1], "overload", 60)
    local seen = {}
    for _ = 1, 4 do seen[targets_of()[1]] = true end
    assert.is_true(seen["main/big/secret-one"] and seen["main/big/secret-two"])
  end)
end)

describe("a tenant's own provider", function()
  it("is like one of the operator's, with keys of its own, and for nobody else", function()
    add(admin, "/ai", { name = "mine", like = "main" }, { "own" }, { "small" })
    local _, body = as(admin, "GET", "/ai/providers")
    assert.equal(2, #body.providers)
    local found = targets_of()
    assert.equal("mine/small/secret-own", found[2])
    assert.equal(1, #targets_of(tenants.get("other")))
    assert.equal(404, (as(other, "DELETE", "/ai/providers/mine")))
  end)

  it("cannot be at an address that the tenant names", function()
    local status, body = as(admin, "POST", "/ai/providers", { name = "inside", kind = "openai_chat", url = "http://169.254.169.254/v1" })
    assert.equal(422, status)
    assert.matches("operator", body.detail)
    assert.equal(422, (as(admin, "PATCH", "/ai/providers/mine", { url = "http://127.0.0.1:6379" })))
    assert.equal(422, (as(admin, "PATCH", "/ai/providers/mine", { ca_file = "/etc/passwd" })))
  end)

  it("of the same name takes the place of the operator's, also while it is paused", function()
    add(admin, "/ai", { name = "main", like = "main" }, { "k" }, { "big" })
    for _ = 1, 3 do assert.same({ "main/big/secret-k", "mine/small/secret-own" }, targets_of()) end
    assert.equal(204, (as(admin, "PATCH", "/ai/providers/main", { status = "paused" })))
    assert.same({ "mine/small/secret-own" }, targets_of())
    assert.equal(204, (as(admin, "DELETE", "/ai/providers/main")))
    assert.equal(2, #targets_of())
  end)

  it("on the tenant's machines an operator sets up for it, and it needs no key", function()
    assert.equal(201, (as(operator, "POST", "/ai/providers?tenantId=acme", { name = "box", kind = "ollama", url = "http://127.0.0.1:11434" })))
    assert.equal(204, (as(admin, "PUT", "/ai/providers/box/models/llama3.2%3A3b", {})))
    assert.equal("box/llama3.2:3b/-", targets_of()[1])
    assert.equal(204, (as(admin, "DELETE", "/ai/providers/box")))
  end)
end)

describe("a provider with as many models as there may be", function()
  it("could have none of them changed or paused any more", function()
    add(admin, "/ai", { name = "many", like = "main" }, { "m" }, {})
    local id = sql.query("parley_test", "SELECT id FROM ai_provider WHERE name = 'many'")[1].id
    for i = 1, 200 do
      sql.query("parley_test", "INSERT INTO ai_model (provider_id, model, purpose, quality, weight, status) VALUES (?, ?, 'chat', 50, 1, 'active')", id, "m" .. i)
    end
    assert.equal(204, (as(admin, "PUT", "/ai/providers/many/models/m7", { status = "paused" })))
    local status, body = as(admin, "PUT", "/ai/providers/many/models/other", {})
    assert.same({ 409, "too_many_models" }, { status, body.code })
    assert.equal(204, (as(admin, "DELETE", "/ai/providers/many")))
  end)
end)

describe("a change while the tenant's own schema is away", function()
  it("was told to no other worker, and its answer was a 500", function()
    add(admin, "/ai", { name = "kept", like = "main" }, { "k" }, { "big" })
    local _, listed = as(admin, "GET", "/ai/providers")
    local id
    for _, one in ipairs(listed.providers) do
      if one.name == "kept" then id = one.keys[1].id end
    end
    local audit = require "audit"
    local transaction, changed, told = audit.transaction, providers.changed, {}
    audit.transaction = function() error("away", 0) end
    providers.changed = function(tenant_id)
      told[#told + 1] = tenant_id
      return changed(tenant_id)
    end
    local status = as(admin, "DELETE", "/ai/providers/kept/keys/" .. id)
    audit.transaction, providers.changed = transaction, changed
    assert.same({ 204, { acme.id } }, { status, told })
    for _, target in ipairs(targets_of()) do assert.is_nil(target:find("^kept/")) end
    assert.equal(204, (as(admin, "DELETE", "/ai/providers/kept")))
  end)
end)

describe("a change that is sent twice under one key", function()
  it("was written twice to the tenant's audit", function()
    local function rows()
      return sql.query(acme.db, "SELECT COUNT(*) AS n FROM (SELECT subject FROM audit_pending UNION ALL SELECT subject FROM audit_log) a WHERE subject = 'mine/twice'")[1].n
    end
    for _ = 1, 2 do
      assert.equal(204, (as(admin, "PUT", "/ai/providers/mine/models/twice", {}, { ["idempotency-key"] = "twice-1" })))
    end
    assert.equal(1, rows())
    assert.equal(204, (as(admin, "DELETE", "/ai/providers/mine/models/twice")))
  end)
end)

describe("a policy", function()
  it("is the operator's until the tenant has one", function()
    assert.equal(204, (as(operator, "PUT", "/admin/ai/policy", { order = "cost" })))
    assert.same({ order = "cost" }, providers.of(acme).policy)
    assert.equal(204, (as(admin, "PUT", "/ai/policy", { order = "latency" })))
    assert.same({ order = "latency" }, providers.of(acme).policy)
    assert.equal(204, (as(admin, "DELETE", "/ai/policy")))
    assert.same({ order = "cost" }, providers.of(acme).policy)
  end)
end)

describe("what was read a minute ago", function()
  local mono_ms = clock.mono_ms
  after_each(function()
    clock.mono_ms = mono_ms
    task.sleep(50)
    providers.forget(acme.id)  -- what was read by that clock would be kept for two minutes
  end)

  it("kept a caller waiting for the database when it was asked which models there are", function()
    local known, found = providers.models(acme), nil
    clock.mono_ms = function() return mono_ms() + 61000 end
    task.spawn(function() found = providers.models(acme, true) end)
    assert.is_true(found ~= nil and found == known)
  end)
end)

describe("a policy or a flag that nobody can read", function()
  local function stored(policy, flags)
    assert(sql.query("parley_test", "UPDATE ai_policy SET policy = ? WHERE tenant_id = 0", json.encode(policy)))
    assert(sql.query("parley_test", "UPDATE ai_model SET flags = ? WHERE model = 'big'", json.encode(flags)))
    providers.forget(0)
    local found = providers.of(acme)
    for _, target in ipairs(found.targets) do
      if target.model == "big" then return found.policy, target end
    end
  end

  it("was stored, and made each later answer a 500; it is refused and says what is allowed", function()
    for pointer, policy in pairs{
      ["#/cache/semantic"] = { cache = { semantic = true } }, ["#/guard/max_bytes"] = { guard = { max_bytes = "700" } }, ["#/order"] = { order = "first" },
      ["#/pinned"] = { pinned = { provider = { 1 } } }, ["#/hedge"] = { hedge = "soon" }, ["#/call/attempts"] = { call = { attempts = 0 } },
      ["#/deadline"] = { deadline = 5 }, ["#/call/call"] = { call = { call = { order = "cost" } } },
    } do
      local status, body = as(admin, "PUT", "/ai/policy", policy)
      assert.same({ 422, pointer }, { status, body.errors[1].pointer })
    end
    for pointer, flags in pairs{
      ["#/flags/context_tokens"] = { context_tokens = "x" }, ["#/flags/max_output_tokens"] = { max_output_tokens = -5 }, ["#/flags/context"] = { context = 1 },
      ["#/flags/beta"] = { beta = "a\r\nx: y" }, ["#/flags/transcription"] = { transcription = true },
    } do
      local status, body = as(operator, "PUT", "/admin/ai/providers/main/models/big", { flags = flags })
      assert.same({ 422, pointer }, { status, body.errors[1].pointer })
    end
    local _, body = as(admin, "PUT", "/ai/policy", { order = "first" })
    assert.matches("must be one of quality, cost", body.errors[1].detail)
  end)

  it("is taken where it says what ai.policy, ai.cache, ai.guard and the adapters know", function()
    assert.equal(204, (as(admin, "PUT", "/ai/policy", { order = "pinned", pinned = { provider = "main", model = "big" }, hedge = 400, degrade = false, attempts = 2,
      cache = { exact = false, semantic = {} }, guard = { mask = true, max_bytes = 700, support = 0.4 }, call = { hedge = false, pinned = "main/big" } })))
    assert.equal(204, (as(admin, "DELETE", "/ai/policy")))
  end)

  it("that is stored already does not end an answer", function()
    local policy, target = stored({ cache = { semantic = true, exact = false }, guard = { max_bytes = "700", price_text = { 1 } }, order = { 1 }, deadline_ms = 1e9,
      pinned = { provider = { 1 } }, first = 1, call = true }, { context_tokens = "x", max_output_tokens = -5, tools = false, beta = 7 })
    assert.same({ cache = { exact = false }, guard = { max_bytes = 700 }, deadline_ms = 600000 }, policy)
    assert.same({ max_output_tokens = 1, tools = false }, target.flags)
    stored({ order = "cost" }, {})
  end)
end)

describe("a budget", function()
  it("of the operator bounds the tenant's, and that of all holds where there is none", function()
    assert.equal(204, (as(operator, "PUT", "/admin/ai/budgets/all", { day = "5.00", requests_per_minute = 100 })))
    assert.same({ 5000000, 100 }, { providers.of(acme).budget.day_micros, providers.of(acme).budget.requests_per_minute })
    assert.equal(204, (as(operator, "PUT", "/admin/ai/budgets/acme", { day = "2.50", month = "20" })))
    assert.equal(204, (as(admin, "PUT", "/ai/budget", { day = "9.00", month = "10", warn_percent = 50, concurrent = 3 })))
    local holds = providers.of(acme).budget
    assert.same({ 2500000, 10000000, 50, 3 }, { holds.day_micros, holds.month_micros, holds.warn_percent, holds.concurrent })
    assert.is_nil(holds.requests_per_minute)
    local _, shown = as(admin, "GET", "/ai/budget")
    assert.same({ "2.50", "9.00" }, { shown.operator.day, shown.own.day })
  end)

  it("in another currency than the operator's is refused", function()
    local status, body = as(admin, "PUT", "/ai/budget", { day = "1.00", currency = "EUR" })
    assert.same({ 422, "#/currency" }, { status, body.errors[1].pointer })
  end)

  it("that is no amount is refused", function()
    for _, day in ipairs{ "-1", "1e9", "abc", "1.1234567" } do assert.equal(422, (as(admin, "PUT", "/ai/budget", { day = day }))) end
  end)
end)

describe("a dated price", function()
  it("holds at once for every tenant and goes before the operator's rules", function()
    assert.equal(201, (as(operator, "POST", "/admin/ai/prices", { model = "big", input = "2.00", output = "8.00" })))
    local found = providers.of(acme)
    local price
    for _, target in ipairs(found.targets) do
      if target.model == "big" then price = found.price(target) end
    end
    assert.same({ 2000000, 8000000 }, { price.input, price.output })
  end)

  it("may be set for a time to come, not for one that has passed", function()
    assert.equal(201, (as(operator, "POST", "/admin/ai/prices", { model = "big", input = "1", output = "1", valid_from = "2099-01-01T00:00:00Z" })))
    assert.equal(409, (as(operator, "POST", "/admin/ai/prices", { model = "big", input = "1", output = "1", valid_from = "2099-01-01T00:00:00Z" })))
    assert.equal(422, (as(operator, "POST", "/admin/ai/prices", { model = "big", input = "1", output = "1", valid_from = "2020-01-01T00:00:00Z" })))
    assert.equal(403, (as(admin, "POST", "/admin/ai/prices", { model = "big", input = "0", output = "0" })))
    local _, body = as(operator, "GET", "/admin/ai/prices?limit=1")
    assert.equal(1, #body.prices)
    assert.is_string(body.next)
  end)
end)

describe("each change", function()
  it("leaves its audit row at the platform, and a tenant's in the tenant's too, without the key", function()
    local rows = sql.query("parley_test", "SELECT action, subject, fields FROM audit_log WHERE action LIKE 'ai\\_%'")
    local seen = {}
    for _, row in ipairs(rows) do
      seen[row.action] = true
      assert.is_nil(row.fields:find("secret", 1, true))
    end
    for _, action in ipairs{ "ai_provider.create", "ai_key.create", "ai_key.refused", "ai_model.set", "ai_policy.set", "ai_budget.set", "ai_price.create" } do
      assert.is_true(seen[action], action)
    end
    local own = sql.query(acme.db, "SELECT COUNT(*) AS n FROM (SELECT action FROM audit_pending UNION ALL SELECT action FROM audit_log) a WHERE action LIKE 'ai\\_%'")
    assert.is_true(own[1].n >= 8, own[1].n)
  end)
end)
