-- SPDX-License-Identifier: Apache-2.0
--- Changes of who may be asked: providers, models, keys, policies, budgets, prices. Each raises problems, is one transaction of the
--- platform schema with its audit row, and is known to all workers at once.
---
--- An owner: { id = row of the tenant (0: the operator), slug, tenant = record | nil, is_operator = who acts is one }.
--- Where a provider is (URL, certificates) only an operator says: requests go there from inside, so a tenant that could name any
--- address could look around in the operator's network. A tenant takes the operator's providers with keys of its own, by "like".
local audit = require "audit"
local ids = require "lib.ids"
local json = require "core.json"
local log = require "core.log"
local money = require "lib.money"
local pii = require "lib.pii"
local problem = require "lib.problem"
local providers = require "ai.providers"
local prices = require "ai.prices"
local rules = require "ai.rules"
local speech_rules = require "speech.rules"
local store = require "ai.store"
local time = require "lib.time"

local setup = {}

local PROVIDERS_MOST, MODELS_MOST, KEYS_MOST = 50, 200, 50

local function refuse(name, detail)
  problem.raise(422, "invalid_body", ("A value is not valid: #/%s %s."):format(name, detail), { errors = { { pointer = "#/" .. name, detail = detail } } })
end

local function not_found(what, hint) problem.raise(404, what .. "_not_found", ("There is no such %s. %s"):format(what, hint)) end

-- json.null clears, nil leaves as it is.
local function changed(before, given)
  if given == nil then return before end
  if given == json.null then return nil end
  return given
end

local function note(tx, ctx, owner, action, subject, fields)
  fields = fields or {}
  fields.tenant = owner.id ~= 0 and owner.slug or nil
  audit.platform(tx, { actor = ctx:actor(), action = action, subject = subject, trace = ctx.trace.id, fields = fields })
end

-- It is in another schema and so can only follow. The change is made and has its row at the platform: it does not fail by this one.
local function tell_tenant(ctx, owner, action, subject, fields)
  local ok, err = pcall(audit.transaction, owner.tenant, function(tx)
    audit.record(tx, { actor = ctx:actor(), action = action, subject = subject, fields = fields, trace = ctx.trace.id })
    return true
  end)
  if not ok then log.warn("ai.audit_not_written", { tenant = owner.slug, action = action, subject = subject, trace = ctx.trace.id, text = tostring(err) }) end
end

--- Runs fn(tx) -> status, body, headers; then tells all workers, and the tenant's own audit.
local function change(ctx, owner, action, subject, fields, fn)
  local status, body, headers = ctx:platform_transaction(function(tx)
    local a, b, c = fn(tx)
    note(tx, ctx, owner, action, subject, fields)
    return a, b, c
  end)
  providers.changed(owner.id)  -- first: a key that was revoked must not be used on because something else is away
  local replayed = headers and headers["Idempotent-Replayed"]
  if owner.tenant and not replayed then tell_tenant(ctx, owner, action, subject, fields) end
  return status, body, headers
end

local function held(tx, owner, name)
  local row = store.hold_provider(tx, owner.id, name)
  if not row then not_found("provider", "GET the list of providers first; one of the operator's is changed by an operator.") end
  return row
end

local function check_place(row)
  local fault = rules.url_fault(row.kind, row.url)
  if fault then refuse("url", fault) end
  if row.ca_file and not row.ca_file:match("^/[%w/._-]+$") then refuse("ca_file", "must be the path of a file on the server, from /") end
end

-- Where a new provider is: as it is said, or like one of the operator's.
local function placed(owner, body)
  if body.like then
    for _, row in ipairs(store.providers(0)) do
      if row.name == body.like then
        return { kind = row.kind, url = row.url, region = body.region or row.region, ca_file = row.ca_file }
      end
    end
    refuse("like", "is no provider of the operator")
  end
  if not owner.is_operator then refuse("like", "must name one of the operator's providers: where a provider is, an operator says") end
  if not body.kind then refuse("kind", "is missing") end
  return { kind = body.kind, url = body.url or "", region = body.region or "", ca_file = body.ca_file }
end

local function copy_limits(into, body)
  into.requests_per_minute = changed(into.requests_per_minute, body.requests_per_minute)
  into.tokens_per_minute = changed(into.tokens_per_minute, body.tokens_per_minute)
  into.concurrent = changed(into.concurrent, body.concurrent)
end

--- Adds a provider: status, body, headers.
function setup.add_provider(ctx, owner, path)
  local body = ctx.body
  local row = placed(owner, body)
  row.name = body.name
  copy_limits(row, body)
  check_place(row)
  return change(ctx, owner, "ai_provider.create", body.name, { kind = row.kind, like = body.like }, function(tx)
    if store.count_providers(tx, owner.id) >= PROVIDERS_MOST then problem.raise(409, "too_many_providers", ("There are %d already."):format(PROVIDERS_MOST)) end
    if not store.add_provider(tx, owner.id, row) then
      problem.raise(409, "provider_exists", ("There is a provider \"%s\" already; choose another name, or change that one."):format(body.name))
    end
    return 201, setup.shown(owner, body.name, row, {}, {}), { Location = path .. "/" .. body.name }
  end)
end

--- Changes one.
function setup.change_provider(ctx, owner, name)
  local body = ctx.body
  if (body.url or body.ca_file or body.region) and not owner.is_operator then refuse("url", "is set by an operator") end
  return change(ctx, owner, "ai_provider.update", name, nil, function(tx)
    local row = held(tx, owner, name)
    row.url, row.region, row.status = body.url or row.url, body.region or row.region, body.status or row.status
    row.ca_file = changed(row.ca_file, body.ca_file)
    copy_limits(row, body)
    check_place(row)
    store.change_provider(tx, row.id, row)
    return 204
  end)
end

--- Removes one with its models and keys.
function setup.remove_provider(ctx, owner, name)
  return change(ctx, owner, "ai_provider.delete", name, nil, function(tx)
    store.remove_provider(tx, held(tx, owner, name).id)
    return 204
  end)
end

--- Adds a model to a provider, or changes it.
function setup.put_model(ctx, owner, name, model)
  local body = ctx.body
  if #model > 100 or model:find("[%c%s]") or model == "" then problem.raise(400, "invalid_path", "A model's id is text of at most 100 characters without spaces.") end
  local flags = body.flags and json.encode(body.flags)
  if flags and #flags > 4000 then refuse("flags", "must have at most 4000 bytes") end
  return change(ctx, owner, "ai_model.set", name .. "/" .. model, { purpose = body.purpose, status = body.status }, function(tx)
    local row = held(tx, owner, name)
    local purpose, fault = rules.purpose(row.kind, body.purpose)
    if not purpose then refuse("purpose", fault) end
    if not store.has_model(tx, row.id, model) and store.count_of(tx, row.id).models >= MODELS_MOST then
      problem.raise(409, "too_many_models", ("There are %d already."):format(MODELS_MOST))
    end
    store.put_model(tx, row.id, { model = model, purpose = purpose, quality = body.quality, weight = body.weight, flags = flags, status = body.status })
    return 204
  end)
end

function setup.remove_model(ctx, owner, name, model)
  return change(ctx, owner, "ai_model.delete", name .. "/" .. model, nil, function(tx)
    if not store.remove_model(tx, held(tx, owner, name).id, model) then not_found("model", "GET the list of providers shows each one's.") end
    return 204
  end)
end

--- Adds a key. It is sealed under the owner's data key and shown to nobody again.
function setup.add_key(ctx, owner, name)
  local body = ctx.body
  local fault = rules.key_fault(body.key)
  if fault then refuse("key", fault) end
  local sealed = pii.seal(owner.tenant or pii.platform, "ai_key.secret", body.key)
  local row = { name = body.name, secret = sealed }
  copy_limits(row, body)
  return change(ctx, owner, "ai_key.create", name, { name = body.name }, function(tx)
    local provider = held(tx, owner, name)
    if store.count_of(tx, provider.id).keys >= KEYS_MOST then problem.raise(409, "too_many_keys", ("There are %d already."):format(KEYS_MOST)) end
    local id = store.add_key(tx, provider.id, row)
    if not id then problem.raise(409, "key_exists", ("The provider has a key \"%s\" already; choose another name."):format(body.name)) end
    return 201, { id = ids.encode("ak", id), name = body.name, status = "active" }
  end)
end

local function key_row(tx, owner, name, public)
  local provider = held(tx, owner, name)
  local id = ids.decode("ak", public)
  local row = id and store.hold_key(tx, provider.id, id)
  if not row then not_found("key", "GET the list of providers shows each one's.") end
  return row, provider
end

--- Pauses a key, sets one active that was refused, or changes its limits.
function setup.change_key(ctx, owner, name, public)
  local id
  local status, body = change(ctx, owner, "ai_key.update", public, { status = ctx.body.status }, function(tx)
    local row = key_row(tx, owner, name, public)
    id = row.id
    row.status = ctx.body.status or row.status
    if row.status ~= "refused" then row.refused_at = nil end
    copy_limits(row, ctx.body)
    store.change_key(tx, row.id, row)
    return 204
  end)
  if id and ctx.body.status == "active" then providers.wake(id) end
  return status, body
end

function setup.remove_key(ctx, owner, name, public)
  return change(ctx, owner, "ai_key.delete", public, nil, function(tx)
    local row, provider = key_row(tx, owner, name, public)
    store.remove_key(tx, provider.id, row.id)
    return 204
  end)
end

--- Sets the policy by which one of several is chosen; what it may say is in rules.policy. nil removes it.
function setup.put_policy(ctx, owner, policy)
  local text = policy and json.encode(policy)
  if text and #text > 16000 then refuse("policy", "must have at most 16000 bytes") end
  return change(ctx, owner, policy and "ai_policy.set" or "ai_policy.delete", owner.slug, nil, function(tx)
    if text then store.put_policy(tx, owner.id, text) else store.remove_policy(tx, owner.id) end
    return 204
  end)
end

-- Models that an owner may name, paused ones too: who pauses one for an hour need not set the order anew.
local function models_of(owner)
  local names, list = {}, {}
  for _, row in ipairs(store.providers(owner.id)) do names[row.id] = row.name end
  for i, row in ipairs(store.models(owner.id)) do list[i] = { provider = names[row.provider_id] or "", model = row.model, purpose = row.purpose } end
  return list
end

--- Sets who recognises, synthesises and converses, in which order (speech.rules). nil removes it.
function setup.put_speech(ctx, owner, speech)
  if speech then
    local pointer, fault = speech_rules.problem(speech, models_of(owner))
    if pointer then refuse(pointer, fault) end
  end
  local text = speech and json.encode(speech)
  return change(ctx, owner, speech and "ai_speech.set" or "ai_speech.delete", owner.slug, nil, function(tx)
    if text then store.put_speech(tx, owner.id, text) else store.remove_speech(tx, owner.id) end
    return 204
  end)
end

local function micros_of(body, name)
  if body[name] == nil or body[name] == json.null then return nil end
  local micros, fault = money.parse(body[name])
  if not micros then refuse(name, fault) end
  if micros < 0 then refuse(name, "must not be less than nothing") end
  return micros
end

--- Sets what a tenant may use, whole: what is left out has no limit.
--- @param set_by string  "operator" or "tenant"
function setup.put_budget(ctx, owner, set_by)
  local body = ctx.body
  local row = { currency = body.currency, day_micros = micros_of(body, "day"), month_micros = micros_of(body, "month"), warn_percent = body.warn_percent }
  copy_limits(row, body)
  if set_by == "tenant" then
    local operator = store.budgets(owner.id)
    if operator and (operator.day_micros or operator.month_micros) and (row.day_micros or row.month_micros) and operator.currency ~= row.currency then
      refuse("currency", ("must be %s, in which the operator has set a budget"):format(operator.currency))
    end
  end
  return change(ctx, owner, "ai_budget.set", owner.slug, { set_by = set_by, day_micros = row.day_micros, month_micros = row.month_micros,
    currency = row.currency }, function(tx)
    store.put_budget(tx, owner.id, set_by, row)
    return 204
  end)
end

function setup.remove_budget(ctx, owner, set_by)
  return change(ctx, owner, "ai_budget.delete", owner.slug, { set_by = set_by }, function(tx)
    store.remove_budget(tx, owner.id, set_by)
    return 204
  end)
end

--- Adds a price that holds from a time on, which must not lie in the past: what was asked then has been counted.
function setup.add_price(ctx, owner)
  local body = ctx.body
  local from = body.valid_from and time.from_rfc3339(body.valid_from) or time.now()
  if body.valid_from and from < time.ahead(-60) then refuse("valid_from", "must not lie in the past: what was asked then has been counted by the price before") end
  local row = { provider = body.provider or "", model = body.model, valid_from = from, currency = body.currency, created_by = ctx:actor() }
  for _, name in ipairs(prices.rates) do
    row[name] = micros_of(body, name)
    if row[name] and row[name] > 1e10 then refuse(name, "must be at most 10000") end
  end
  -- A price of sound alone says nothing of tokens; one of tokens must say what both ways cost.
  if not (row.characters or row.minute) or row.input or row.output then
    for _, name in ipairs{ "input", "output" } do
      if not row[name] then refuse(name, "is missing") end
    end
  end
  row.input, row.output = row.input or 0, row.output or 0
  return change(ctx, owner, "ai_price.create", body.model, { provider = body.provider, valid_from = from, input = row.input, output = row.output }, function(tx)
    local id = store.add_price(tx, row)
    if not id then problem.raise(409, "price_exists", "There is a price of this model for this time already.") end
    return 201, { valid_from = time.rfc3339(from), model = body.model, provider = row.provider }
  end)
end

local function limits_shown(row)
  return { requests_per_minute = row.requests_per_minute or json.null, tokens_per_minute = row.tokens_per_minute or json.null, concurrent = row.concurrent or json.null }
end

--- A provider as it is shown to an owner: of one that is not his, neither where it is nor its keys.
function setup.shown(owner, name, row, models, keys)
  local mine = row.tenant_id == nil or row.tenant_id == owner.id
  local out = limits_shown(row)
  out.name, out.kind, out.region, out.status, out.owner = name, row.kind, row.region, row.status or "active", mine and "own" or "operator"
  if owner.is_operator then out.url, out.ca_file = row.url, row.ca_file end
  out.models, out.keys = json.array{}, json.array{}
  for i, model in ipairs(models) do
    out.models[i] = { model = model.model, purpose = model.purpose, quality = model.quality, weight = model.weight, status = model.status,
      flags = model.flags and json.decode(model.flags) or nil }
  end
  for i, key in ipairs(mine and keys or {}) do
    local shown = limits_shown(key)
    shown.id, shown.name, shown.status, shown.created_at = ids.encode("ak", key.id), key.name, key.status, time.rfc3339(key.created_at)
    shown.refused_at = time.rfc3339(key.refused_at) or json.null
    out.keys[i] = shown
  end
  return out
end

local function of_provider(rows, id)
  local list = {}
  for _, row in ipairs(rows) do
    if row.provider_id == id then list[#list + 1] = row end
  end
  return list
end

--- All providers that an owner sees.
function setup.list(owner)
  local models, keys, out = store.models(owner.id), store.keys(owner.id), json.array{}
  for i, row in ipairs(store.providers(owner.id)) do out[i] = setup.shown(owner, row.name, row, of_provider(models, row.id), of_provider(keys, row.id)) end
  return out
end

return setup
