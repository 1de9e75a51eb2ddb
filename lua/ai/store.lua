-- SPDX-License-Identifier: Apache-2.0
--- Providers, models, keys, policies, budgets and prices: rows of the platform schema. tenant_id 0 is the operator.
local db = require "lib.db"

local store = {}

local provider_columns = "id, tenant_id, name, kind, url, region, ca_file, status, requests_per_minute, tokens_per_minute, concurrent, version"
local key_columns = "k.id, k.provider_id, k.name, k.status, k.requests_per_minute, k.tokens_per_minute, k.concurrent, k.created_at, k.refused_at"

--- Providers of the operator and of a tenant, in order of their ids; with tenant_id 0 only the operator's.
function store.providers(tenant_id)
  return db.query(db.platform(), "SELECT " .. provider_columns .. " FROM ai_provider WHERE tenant_id IN (0, ?) ORDER BY id", tenant_id)
end

function store.models(tenant_id)
  return db.query(db.platform(), [[
    SELECT m.provider_id, m.model, m.purpose, m.quality, m.weight, m.flags, m.status FROM ai_model m
    JOIN ai_provider p ON p.id = m.provider_id WHERE p.tenant_id IN (0, ?) ORDER BY m.provider_id, m.model]], tenant_id)
end

--- Keys with their sealed secrets.
function store.keys(tenant_id)
  return db.query(db.platform(), "SELECT " .. key_columns .. [[, k.secret FROM ai_key k
    JOIN ai_provider p ON p.id = k.provider_id WHERE p.tenant_id IN (0, ?) ORDER BY k.id]], tenant_id)
end

--- A provider, held until the transaction ends; nil when the owner has none of that name.
function store.hold_provider(tx, tenant_id, name)
  return db.run(tx, "SELECT " .. provider_columns .. " FROM ai_provider WHERE tenant_id = ? AND name = ? FOR UPDATE", tenant_id, name)[1]
end

--- The new id, or nil when the name is taken.
function store.add_provider(tx, tenant_id, r)
  local done, err = db.attempt(tx, [[
    INSERT INTO ai_provider (tenant_id, name, kind, url, region, ca_file, requests_per_minute, tokens_per_minute, concurrent)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)]], tenant_id, r.name, r.kind, r.url, r.region, r.ca_file, r.requests_per_minute, r.tokens_per_minute, r.concurrent)
  if done then return done.insert_id end
  if err.code == "exists" then return nil end
  error("ai_provider: " .. err.text, 0)
end

function store.change_provider(tx, id, r)
  db.run(tx, [[
    UPDATE ai_provider SET url = ?, region = ?, ca_file = ?, status = ?, requests_per_minute = ?, tokens_per_minute = ?, concurrent = ?,
      version = version + 1 WHERE id = ?]],
    r.url, r.region, r.ca_file, r.status, r.requests_per_minute, r.tokens_per_minute, r.concurrent, id)
end

--- With its models and keys.
function store.remove_provider(tx, id)
  db.run(tx, "DELETE FROM ai_provider WHERE id = ?", id)
end

function store.count_providers(tx, tenant_id)
  return db.run(tx, "SELECT COUNT(*) AS n FROM ai_provider WHERE tenant_id = ?", tenant_id)[1].n
end

function store.put_model(tx, provider_id, r)
  db.run(tx, [[
    INSERT INTO ai_model (provider_id, model, purpose, quality, weight, flags, status) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE purpose = VALUES(purpose), quality = VALUES(quality), weight = VALUES(weight), flags = VALUES(flags), status = VALUES(status)]],
    provider_id, r.model, r.purpose, r.quality, r.weight, r.flags, r.status)
end

function store.has_model(tx, provider_id, model)
  return db.run(tx, "SELECT 1 AS found FROM ai_model WHERE provider_id = ? AND model = ?", provider_id, model)[1] ~= nil
end

--- Was there one?
function store.remove_model(tx, provider_id, model)
  return db.run(tx, "DELETE FROM ai_model WHERE provider_id = ? AND model = ?", provider_id, model).affected > 0
end

function store.count_of(tx, provider_id)
  return db.run(tx, [[
    SELECT (SELECT COUNT(*) FROM ai_model WHERE provider_id = ?) AS models, (SELECT COUNT(*) FROM ai_key WHERE provider_id = ?) AS `keys`]],
    provider_id, provider_id)[1]
end

--- The new id, or nil when the name is taken.
function store.add_key(tx, provider_id, r)
  local done, err = db.attempt(tx, "INSERT INTO ai_key (provider_id, name, secret, requests_per_minute, tokens_per_minute, concurrent) VALUES (?, ?, ?, ?, ?, ?)",
    provider_id, r.name, r.secret, r.requests_per_minute, r.tokens_per_minute, r.concurrent)
  if done then return done.insert_id end
  if err.code == "exists" then return nil end
  error("ai_key: " .. err.text, 0)
end

function store.hold_key(tx, provider_id, id)
  return db.run(tx, "SELECT " .. key_columns .. " FROM ai_key k WHERE k.provider_id = ? AND k.id = ? FOR UPDATE", provider_id, id)[1]
end

function store.change_key(tx, id, r)
  db.run(tx, "UPDATE ai_key SET status = ?, refused_at = ?, requests_per_minute = ?, tokens_per_minute = ?, concurrent = ? WHERE id = ?",
    r.status, r.refused_at, r.requests_per_minute, r.tokens_per_minute, r.concurrent, id)
end

--- The provider has refused an active key. Was it active?
function store.refuse_key(tx, id, at)
  return db.run(tx, "UPDATE ai_key SET status = 'refused', refused_at = ? WHERE id = ? AND status = 'active'", at, id).affected > 0
end

function store.remove_key(tx, provider_id, id)
  return db.run(tx, "DELETE FROM ai_key WHERE provider_id = ? AND id = ?", provider_id, id).affected > 0
end

--- Policies of the operator and of a tenant, by tenant_id.
function store.policies(tenant_id)
  local found = {}
  for _, row in ipairs(db.query(db.platform(), "SELECT tenant_id, policy, version FROM ai_policy WHERE tenant_id IN (0, ?)", tenant_id)) do found[row.tenant_id] = row end
  return found
end

function store.put_policy(tx, tenant_id, policy)
  db.run(tx, "INSERT INTO ai_policy (tenant_id, policy) VALUES (?, ?) ON DUPLICATE KEY UPDATE policy = VALUES(policy), version = version + 1", tenant_id, policy)
end

function store.remove_policy(tx, tenant_id)
  db.run(tx, "DELETE FROM ai_policy WHERE tenant_id = ?", tenant_id)
end

--- How a tenant speaks and listens, and how the operator says that all do, by tenant_id.
function store.speech(tenant_id)
  local found = {}
  for _, row in ipairs(db.query(db.platform(), "SELECT tenant_id, speech, version FROM ai_speech WHERE tenant_id IN (0, ?)", tenant_id)) do found[row.tenant_id] = row end
  return found
end

function store.put_speech(tx, tenant_id, speech)
  db.run(tx, "INSERT INTO ai_speech (tenant_id, speech) VALUES (?, ?) ON DUPLICATE KEY UPDATE speech = VALUES(speech), version = version + 1", tenant_id, speech)
end

function store.remove_speech(tx, tenant_id)
  db.run(tx, "DELETE FROM ai_speech WHERE tenant_id = ?", tenant_id)
end

local budget_columns = "tenant_id, set_by, currency, day_micros, month_micros, warn_percent, requests_per_minute, tokens_per_minute, concurrent, version"

--- What holds for a tenant: the row of the operator (his for this tenant, else that for all), and the tenant's own; each may be nil.
function store.budgets(tenant_id)
  local found = {}
  for _, row in ipairs(db.query(db.platform(), "SELECT " .. budget_columns .. " FROM ai_budget WHERE tenant_id IN (0, ?)", tenant_id)) do
    if row.tenant_id == tenant_id or not found[row.set_by] then found[row.set_by] = row end
  end
  return found.operator, found.tenant
end

function store.put_budget(tx, tenant_id, set_by, r)
  db.run(tx, [[
    INSERT INTO ai_budget (tenant_id, set_by, currency, day_micros, month_micros, warn_percent, requests_per_minute, tokens_per_minute, concurrent)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE currency = VALUES(currency), day_micros = VALUES(day_micros), month_micros = VALUES(month_micros),
      warn_percent = VALUES(warn_percent), requests_per_minute = VALUES(requests_per_minute), tokens_per_minute = VALUES(tokens_per_minute),
      concurrent = VALUES(concurrent), version = version + 1]],
    tenant_id, set_by, r.currency, r.day_micros, r.month_micros, r.warn_percent, r.requests_per_minute, r.tokens_per_minute, r.concurrent)
end

function store.remove_budget(tx, tenant_id, set_by)
  db.run(tx, "DELETE FROM ai_budget WHERE tenant_id = ? AND set_by = ?", tenant_id, set_by)
end

local price_columns = "id, provider, model, valid_from, currency, input, output, cached, written, written_1h, characters, minute, audio_input, audio_output, audio_cached, created_by"

--- The prices that are in force and those to come; what they followed is in the history.
function store.prices()
  return db.query(db.platform(), "SELECT " .. price_columns .. [[ FROM ai_price p WHERE valid_from >= COALESCE((
    SELECT MAX(q.valid_from) FROM ai_price q WHERE q.provider = p.provider AND q.model = p.model AND q.valid_from <= UTC_TIMESTAMP(6)), '1970-01-01')
    ORDER BY id]])
end

--- A page of the whole history, the newest first.
function store.price_history(before, limit)
  return db.query(db.platform(), "SELECT " .. price_columns .. " FROM ai_price WHERE id < ? ORDER BY id DESC LIMIT ?", before, limit)
end

--- The new id, or nil when there is one for that time.
function store.add_price(tx, r)
  local done, err = db.attempt(tx, [[
    INSERT INTO ai_price (provider, model, valid_from, currency, input, output, cached, written, written_1h, characters, minute, audio_input, audio_output,
      audio_cached, created_by)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]],
    r.provider, r.model, r.valid_from, r.currency, r.input, r.output, r.cached, r.written, r.written_1h, r.characters, r.minute, r.audio_input, r.audio_output,
    r.audio_cached, r.created_by)
  if done then return done.insert_id end
  if err.code == "exists" then return nil end
  error("ai_price: " .. err.text, 0)
end

return store
