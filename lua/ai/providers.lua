-- SPDX-License-Identifier: Apache-2.0
--- Who may be asked: providers, their models and keys, as the operator and the tenant have set them up.
---
---   providers.of(tenant) -> { targets, policy, budget, price(target), speech = as it is set (speech.rules), known = table of who orders by that }
---     targets  list of one target for each model at each provider that can be asked now; each time the provider's next key
---     policy   table: the tenant's, else the operator's, else {}
---     budget   rules.budget: limits of money, requests, tokens and requests at a time; {} when there are none
---     price(target) -> price | nil: ai.prices, as it holds now
---
--- A target: { provider = name, kind, url, model, key, key_id, region, flags, ca_file, purpose = "chat" | "embeddings", quality,
---   weight, owner = id of the tenant (0: the operator), limits = { provider = { id, requests_per_minute, tokens_per_minute,
---   concurrent }, key = the same | nil } }. A table for each model and key that stays the same until something is changed, so it
---   may be the key of others' tables (weak ones, please). Never logged whole: it holds the key.
---
--- A key that was refused or has had enough rests (providers.rest), and the others of its provider are asked. Where all rest, the one
--- that is back first is asked all the same if only its rate was too high: the only key of a tenant does not turn one busy moment into
--- seconds without an answer. Without such a one the provider has no targets until one is back. What is read is kept for a minute and dropped at once, in all workers, when something
--- is changed; while the database is away what was read last holds.
local audit = require "audit"
local clock = require "core.clock"
local db = require "lib.db"
local ids = require "lib.ids"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local money = require "money.prices"
local pii = require "lib.pii"
local prices = require "ai.prices"
local promise = require "lib.promise"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local rules = require "ai.rules"
local speech_rules = require "speech.rules"
local store = require "ai.store"
local task = require "core.task"
local time = require "lib.time"

local providers = {}

local KEEP_MS = 60000
local TENANTS_MOST = 10000
local REST_S = { rate = 5, quota = 600, auth = 60 }  -- where the provider does not say how long

local kept, kept_count = {}, 0  -- tenant id -> what was read
local loading = {}              -- tenant id -> promise
local resting = {}              -- key row -> { until_ms = mono, rate = whether only its rate was too high }
local resting_count = 0
local turns = {}                -- provider row -> how often its keys have had their turn
local epoch = 0                 -- grows with each change that was heard of: what was being read meanwhile may be old

--- Whose values a provider's secrets are sealed with.
function providers.sealer(tenant) return tenant.id == 0 and pii.platform or tenant end

local function limits_of(id, row)
  return { id = id, requests_per_minute = row.requests_per_minute, tokens_per_minute = row.tokens_per_minute, concurrent = row.concurrent }
end

local function target_of(provider, model, key, secret)
  return {
    provider = provider.name, kind = provider.kind, url = provider.url, region = provider.region, ca_file = provider.ca_file, owner = provider.tenant_id,
    model = model.model, purpose = model.purpose, quality = model.quality, weight = model.weight, flags = rules.sound(rules.flags, model.flags and json.decode(model.flags)),
    key = secret, key_id = key and ids.encode("ak", key.id) or nil,
    limits = { provider = limits_of(provider.id, provider), key = key and limits_of(key.id, key) or nil },
  }
end

local function by_provider(rows)
  local found = {}
  for _, row in ipairs(rows) do
    found[row.provider_id] = found[row.provider_id] or {}
    table.insert(found[row.provider_id], row)
  end
  return found
end

-- For each model: { provider = row id, keys = list of key row ids, targets = list, one for each key (or one without) }.
local function choices_of(tenant)
  local rows, models, keys = store.providers(tenant.id), by_provider(store.models(tenant.id)), by_provider(store.keys(tenant.id))
  local own = {}
  for _, provider in ipairs(rows) do own[provider.name] = own[provider.name] or provider.tenant_id == tenant.id end
  local secrets, choices = {}, {}
  for _, provider in ipairs(rows) do
    -- A tenant's own provider takes the place of the operator's, also while it is paused: who pauses his does not mean another's.
    local hidden = provider.tenant_id ~= tenant.id and own[provider.name]
    local usable = {}
    for _, key in ipairs(keys[provider.id] or {}) do
      if key.status == "active" then usable[#usable + 1] = key end
    end
    local askable = #usable > 0 or (rules.is_keyless(provider.kind) and #(keys[provider.id] or {}) == 0)
    for _, model in ipairs(provider.status == "active" and not hidden and askable and models[provider.id] or {}) do
      if model.status == "active" then
        local choice = { provider = provider.id, keys = {}, targets = {} }
        for i, key in ipairs(usable) do
          secrets[key.id] = secrets[key.id] or pii.open(provider.tenant_id == 0 and pii.platform or tenant, "ai_key.secret", key.secret)
          choice.keys[i], choice.targets[i] = key.id, target_of(provider, model, key, secrets[key.id])
        end
        if #usable == 0 then choice.targets[1] = target_of(provider, model) end
        choices[#choices + 1] = choice
      end
    end
  end
  return choices
end

local function policy_of(tenant_id)
  local found = store.policies(tenant_id)
  local row = found[tenant_id] or found[0]
  return rules.sound(rules.policy, row and json.decode(row.policy))
end

local function speech_of(tenant_id)
  local found = store.speech(tenant_id)
  local row = found[tenant_id] or found[0]
  return rules.sound(speech_rules.declared, row and json.decode(row.speech))
end

local function book_of()
  local rows = store.prices()
  for _, row in ipairs(rows) do row.from_us, row.version = time.us(row.valid_from), "price " .. row.id end
  return prices.book(rows)
end

-- The price of a target as it holds now. One that no dated price has to do with is the same as long as the rules are.
local function pricing(book, price_rules)
  local of_rules = setmetatable({}, { __mode = "k" })
  return function(of)
    local price = of_rules[of]
    if price then return price end
    price = prices.of(book, price_rules, of, clock.wall_us())
    local dated = (book[of.provider] or {})[of.model] or (book[""] or {})[of.model]
    if not dated then of_rules[of] = price end
    return price
  end
end

-- { provider, model, purpose } of each choice.
local function models_of(choices)
  local list = {}
  for i, choice in ipairs(choices) do
    local target = choice.targets[1]
    list[i] = { provider = target.provider, model = target.model, purpose = target.purpose }
  end
  return list
end

local function read(tenant)
  local list, hash = money.list()
  local operator, own = store.budgets(tenant.id)
  local book, price_rules = book_of(), list and { list = list, hash = hash } or nil
  local choices = choices_of(tenant)
  return {
    choices = choices, models = models_of(choices), policy = policy_of(tenant.id), speech = speech_of(tenant.id), known = {}, budget = rules.budget(operator, own),
    until_ms = clock.mono_ms() + KEEP_MS, price = pricing(book, price_rules),
  }
end

local function keep(id, found)
  if not kept[id] then
    if kept_count >= TENANTS_MOST then kept, kept_count = {}, 0 end
    kept_count = kept_count + 1
  end
  kept[id] = found
end

-- Reads for all who wait for the same tenant at once.
local function load(tenant)
  local waiting = loading[tenant.id]
  if waiting then return waiting:wait() end
  waiting = promise.new()
  loading[tenant.id] = waiting
  local began = epoch
  local ok, found = pcall(read, tenant)
  if ok and began ~= epoch then found.until_ms = 0 end  -- good for who asked, not for the next
  if ok then keep(tenant.id, found) end
  loading[tenant.id] = nil
  waiting:give(ok, found)
  return ok, found
end

-- A caller who hears nothing does not wait for the database: what has only grown old is read anew beside him. What was changed is not old but wrong.
local function current(tenant, hurried)
  local have = kept[tenant.id]
  local now = clock.mono_ms()
  if have and have.until_ms > now then return have end
  if hurried and have and have.until_ms > 0 then
    have.until_ms = now + 1000
    task.spawn(load, tenant)
    return have
  end
  local ok, found = load(tenant)
  if ok then return found end
  if not have then error(found, 0) end
  log.warn("ai.providers_not_read", { tenant = tenant.slug, text = tostring(found) })
  have.until_ms = clock.mono_ms() + 1000  -- better old than nobody to ask; and not asked again by each request
  return have
end

local function rests(key, now)
  local rest = resting[key]
  if not rest then return false end
  if rest.until_ms > now then return true end
  resting[key], resting_count = nil, resting_count - 1
  return false
end

-- The choice's next target whose key does not rest, or the first to be back of those with too high a rate, or nil.
local function in_turn(choice, turn, now)
  local count = #choice.keys
  if count == 0 then return choice.targets[1] end
  for i = 0, count - 1 do
    local at = (turn + i) % count + 1
    if not rests(choice.keys[at], now) then return choice.targets[at] end
  end
  local soonest, found
  for at, key in ipairs(choice.keys) do
    local rest = resting[key]
    if rest.rate and not (soonest and soonest <= rest.until_ms) then soonest, found = rest.until_ms, choice.targets[at] end
  end
  return found
end

--- Who may be asked for this tenant; see above. May wait the first time, then once a minute; raises when the database is away and
--- nothing was read before.
--- @param hurried boolean|nil  what was read a while ago will do: it waits only the first time, and after a change
function providers.of(tenant, hurried)
  local have = current(tenant, hurried)
  local now, list, turned = clock.mono_ms(), {}, {}
  for _, choice in ipairs(have.choices) do
    local id = choice.provider
    if not turned[id] then
      turned[id] = true
      turns[id] = ((turns[id] or -1) + 1) % 2 ^ 31
    end
    local found = in_turn(choice, turns[id], now)
    if found then list[#list + 1] = found end
  end
  return { targets = list, policy = have.policy, budget = have.budget, price = have.price, speech = have.speech, known = have.known }
end

--- The limits that hold for a tenant: providers.of(tenant).budget, without anybody's turn.
function providers.budget(tenant) return current(tenant).budget end

--- The models that are set up for this tenant, also those of which all keys rest just now: list of { provider, model, purpose }, not to be changed.
--- @param hurried boolean|nil  as above
function providers.models(tenant, hurried) return current(tenant, hurried).models end

--- The same model at the same provider with another key that does not rest, or nil: for a second try at once when the first was
--- refused its key. Never waits when providers.of has been asked.
function providers.another(tenant, of)
  local now = clock.mono_ms()
  for _, choice in ipairs(current(tenant).choices) do
    local first = choice.targets[1]
    if first.provider == of.provider and first.model == of.model then
      for i, key in ipairs(choice.keys) do
        if choice.targets[i].key_id ~= of.key_id and not rests(key, now) then return choice.targets[i] end
      end
    end
  end
  return nil
end

local function rest_until(key, ends, rate)
  local rest = resting[key]
  if rest then
    rest.until_ms, rest.rate = math.max(rest.until_ms, ends), rest.rate and rate
    return
  end
  if resting_count >= TENANTS_MOST then resting, resting_count = {}, 0 end
  resting_count = resting_count + 1
  resting[key] = { until_ms = ends, rate = rate }
end

local function refuse(of, row)
  local refused = db.transaction(db.platform(), function(tx)
    if not store.refuse_key(tx, row, time.now()) then return false end
    audit.platform(tx, { actor = "system", action = "ai_key.refused", subject = of.key_id, fields = { provider = of.provider, owner = of.owner } })
    return true
  end)
  if not refused then return end
  log.warn("ai.key_refused", { provider = of.provider, key = of.key_id, owner = of.owner })
  providers.changed(of.owner)
end

--- Says that a provider did not take a target's key. Never waits.
--- @param class string  "auth", "rate" and "quota": the key rests for so many seconds as the provider says, else for some. Any other
---   class is no fault of the key and does nothing.
--- @param retry_after_s number|nil  of "auth" nothing: it may be one request that is not allowed, and all tenants have the key
--- @param refused boolean|nil  of "auth": it is the key itself that is no good. Then it rests until somebody sets it active again, for all.
function providers.rest(of, class, retry_after_s, refused)
  local key = of.limits.key
  if not REST_S[class] or not key then return end
  local rest_s = class == "auth" and REST_S.auth or math.min(retry_after_s or REST_S[class], 86400)
  rest_until(key.id, clock.mono_ms() + rest_s * 1000, class == "rate")
  metrics.count("ai_keys_rested_total", { provider = of.provider, class = class }, 1, "keys that were laid aside because the provider refused them")
  task.spawn(function()
    redis.call("PUBLISH", rediskey("ai:rest"), ("%d %d %s"):format(key.id, math.floor(rest_s * 1000), class))
    if class ~= "auth" or not refused then return end
    -- When the database is away it rests a minute, and is refused again.
    local ok, err = pcall(refuse, of, key.id)
    if not ok then log.warn("ai.key_not_marked", { key = of.key_id, text = tostring(err) }) end
  end)
end

--- Drops what was read of a tenant in this worker; of all tenants with 0, for the operator's rows are everybody's.
function providers.forget(tenant_id)
  epoch = epoch + 1
  if tenant_id == 0 then
    for _, have in pairs(kept) do have.until_ms = 0 end
  elseif kept[tenant_id] then
    kept[tenant_id].until_ms = 0
  end
end

--- Drops it in all workers: for who has changed something.
function providers.changed(tenant_id)
  providers.forget(tenant_id)
  redis.call("PUBLISH", rediskey("ai:changed"), tostring(tenant_id))
end

--- A key that is set active again rests no longer, in this worker; in others at most as long as it was told.
function providers.wake(key_row)
  if resting[key_row] then resting[key_row], resting_count = nil, resting_count - 1 end
  redis.call("PUBLISH", rediskey("ai:rest"), ("%d 0 -"):format(key_row))
end

--- Listens for changes made by others; called once at start.
function providers.start()
  redis.subscribe(rediskey("ai:changed"), function(message)
    local id = tonumber(message)
    if id then providers.forget(id) end
  end)
  return redis.subscribe(rediskey("ai:rest"), function(message)
    local key, ms, class = message:match("^(%d+) (%d+) (%S+)$")
    if not key then return end
    key, ms = tonumber(key), tonumber(ms)
    if ms > 0 then
      rest_until(key, clock.mono_ms() + ms, class == "rate")
    elseif resting[key] then
      resting[key], resting_count = nil, resting_count - 1
    end
  end)
end

return providers
