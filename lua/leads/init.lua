-- SPDX-License-Identifier: Apache-2.0
--- Leads: people who may buy. A public id is "ld_...". Name, phone, e-mail, notes and data are sealed; a lead is found by
--- keyed hashes of its phone, its e-mail and the words of its name.
---
--- A lead as a table: { row, id, name, phone, phone_possible, email, score, score_reasons, status, source, campaign_id, call_id,
---   agent_id, assigned_at, last_contacted_at, notes, data, version, created_at, updated_at } (row ids; times RFC 3339)
--- Every change raises problems, writes its audit row and event in its transaction, and takes options
---   { actor = "us_...", trace = id text }.
local agents = require "agents"
local audit = require "audit"
local campaigns = require "campaigns"
local db = require "lib.db"
local fault = require "core.fault"
local hooks = require "scripts.hooks"
local ids = require "lib.ids"
local json = require "core.json"
local log = require "core.log"
local phone = require "core.phone"
local pii = require "lib.pii"
local problem = require "lib.problem"
local rules = require "leads.rules"
local schema = require "lib.schema"
local store = require "leads.store"
local time = require "lib.time"

local leads = {}

-- public: its id, where it is at hand.
local function opened(tenant, r, public)
  local data = pii.open(tenant, "lead.data", r.data)
  local reasons = pii.open(tenant, "lead.score_reasons", r.score_reasons)
  local possible  -- nil without a phone
  if r.phone_possible ~= nil then possible = r.phone_possible == 1 end
  return {
    row = r.id, id = public or ids.encode("ld", r.id),
    name = pii.open(tenant, "lead.name", r.name), phone = pii.open(tenant, "lead.phone", r.phone), email = pii.open(tenant, "lead.email", r.email),
    phone_possible = possible, score = tonumber(r.score), score_reasons = reasons and json.decode(reasons), status = r.status, source = r.source, campaign_id = r.campaign_id, call_id = r.call_id,
    agent_id = r.assigned_agent_id, assigned_at = time.rfc3339(r.assigned_at), last_contacted_at = time.rfc3339(r.last_contacted_at),
    notes = pii.open(tenant, "lead.notes", r.notes), data = data and json.decode(data), version = r.version,
    created_at = time.rfc3339(r.created_at), updated_at = time.rfc3339(r.updated_at),
  }
end

local function refuse(name, detail)
  problem.raise(422, "invalid_lead", ("The lead's %s %s."):format(name, detail), { errors = { { pointer = "#/" .. name, detail = detail } } })
end

-- A phone number in the form we keep: e164, possible.
local function normal_phone(tenant, text)
  local e164, possible = rules.phone(text, phone.parse(text, tenant.region))
  if not e164 then refuse("phone", "must be a phone number; best with + and country code, like +12025550123") end
  return e164, possible
end

local function sealed_row(tenant, lead)
  return {
    name = pii.seal(tenant, "lead.name", lead.name),
    phone = pii.seal(tenant, "lead.phone", lead.phone), phone_hash = pii.hash(tenant, "phone", lead.phone),
    phone_possible = lead.phone_possible,
    email = pii.seal(tenant, "lead.email", lead.email), email_hash = lead.email and pii.hash(tenant, "email", pii.normal_email(lead.email)),
    score = rules.score_text(lead.score), score_reasons = lead.score_reasons and pii.seal(tenant, "lead.score_reasons", json.encode(lead.score_reasons)),
    status = lead.status, source = lead.source, campaign_id = lead.campaign_id, call_id = lead.call_id,
    notes = pii.seal(tenant, "lead.notes", lead.notes), data = lead.data and pii.seal(tenant, "lead.data", json.encode(lead.data)),
    effect_key = lead.effect_key, last_contacted_at = lead.last_contacted_at and time.from_rfc3339(lead.last_contacted_at), at = time.now(),
  }
end

local function word_hashes(tenant, name)
  local hashes = {}
  for i, word in ipairs(name and pii.words(name) or {}) do hashes[i] = pii.hash(tenant, "word", word) end
  return hashes
end

local function names_of(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  return json.array(names)
end

-- Fills in what a campaign's public id or code means.
local function campaign_row(tenant, text, tx)
  local campaign = campaigns.find(tenant, text, tx)
  if not campaign then refuse("campaignId", "is not the id or code of a campaign") end
  return campaign.id
end

--- Raises a problem when fields are not what leads.rules declares. Flows give what scripts and models made up, so a lead's fields are checked
--- here as well as at the router.
function leads.check(fields)
  local _, errors = schema.check(schema.object(rules.fields), fields)
  if errors then refuse(errors[1].pointer:sub(3), errors[1].detail) end
end

--- What the tenant's hooks decide about a lead that is to be made: { score, reasons, agent }, each may be nil. Waits for them, so
--- it is asked before the transaction; what it says is given to leads.create as options.decided.
--- @param fields table  as leads.create takes them
--- @param call table|nil  what the hook is told of the call
function leads.decide(tenant, fields, call)
  local version = hooks.live(tenant)
  if not version then return {} end
  return rules.decide(fields, call, {
    ask = function(name, input) return (hooks.call(tenant, name, input, version)) end,
    offers = function(name) return hooks.offers(tenant, name, version) end,
    agents = function()
      local known, choice = pcall(agents.assignable, tenant)
      return known and choice or {}
    end,
  })
end

-- Fields of a new lead in the form we keep; raises problems.
local function prepared(tenant, fields, tx, decided)
  local lead = {
    name = fields.name, email = fields.email and fields.email:match("^%s*(.-)%s*$"), notes = fields.notes, data = fields.data,
    score = fields.score or decided.score or 0, status = fields.status or "new", source = fields.source or "call",
  }
  if not fields.score then lead.score_reasons = decided.reasons end
  if lead.name and lead.name:match("^%s*$") then lead.name = nil end
  if fields.phone then lead.phone, lead.phone_possible = normal_phone(tenant, fields.phone) end
  if fields.campaign then lead.campaign_id = campaign_row(tenant, fields.campaign, tx) end
  if lead.status == "assigned" then refuse("status", "becomes \"assigned\" by POST /leads/{leadId}/assign") end
  if not rules.has_identity(lead) then
    problem.raise(422, "invalid_lead", "A lead needs at least one of name, phone and email.", { errors = { { pointer = "#", detail = "has none of name, phone, email" } } })
  end
  return lead
end

-- Adds a prepared lead in a transaction: lead, existed. The new one is not opened again: all that it holds is at hand.
local function add(tenant, tx, lead, options)
  local row = sealed_row(tenant, lead)
  local id = store.insert(tx, row)
  if not id then return opened(tenant, store.by_effect(tx, lead.effect_key)), true end
  fault.point("lead.row_inserted")
  store.add_words(tx, id, word_hashes(tenant, lead.name))
  fault.point("lead.words_added")
  local public = ids.encode("ld", id)
  audit.record(tx, { actor = options.actor, action = "lead.create", subject = public, trace = options.trace,
    fields = names_of{ name = lead.name, phone = lead.phone, email = lead.email, notes = lead.notes, data = lead.data } })
  fault.point("lead.audited")
  audit.event(tx, { type = "lead.created", subject = public, trace = options.trace, data = {
    score = lead.score, status = lead.status, source = lead.source, campaign = lead.campaign_id and campaigns.public_id(lead.campaign_id),
    phone_hash = pii.tag_of(row.phone_hash), call = options.call,
  } })
  local at = time.rfc3339(row.at)
  lead.row, lead.id, lead.score, lead.version, lead.created_at, lead.updated_at = id, public, tonumber(row.score), 1, at, at
  return lead, false
end

--- Makes a lead from the fields of leads.rules. With effect_key the same key never makes a second one: the first is returned.
--- @param tx table  the caller's transaction (who owes audit.mark when it is not audit.transaction's)
--- @param options table  { effect_key =, actor =, trace =, call_id = row of the call, call = its public id,
---   decided = what leads.decide said; checked = true: the router has held the fields against their declarations }
--- @return table lead, boolean existed
function leads.create(tenant, tx, fields, options)
  if not options.checked then leads.check(fields) end
  local decided = options.decided or {}
  local lead = prepared(tenant, fields, tx, decided)
  lead.effect_key, lead.call_id = options.effect_key, options.call_id
  local existed
  lead, existed = add(tenant, tx, lead, options)
  if existed or not decided.agent or not agents.is_assignable(tx, decided.agent) then return lead, existed end
  return leads.assign(tenant, tx, lead.id, decided.agent, nil, options), false
end

--- A lead by public id; nil when there is none.
function leads.get(tenant, public)
  local id = ids.decode("ld", public)
  local row = id and store.get(tenant.db, id)
  return row and opened(tenant, row, public)
end

local function not_found()
  problem.raise(404, "lead_not_found", "There is no such lead, or it has been deleted. GET /leads lists them.")
end

local function held(tenant, tx, public, wanted_version)
  local id = ids.decode("ld", public)
  local row = id and store.hold(tx, id)
  if not row then not_found() end
  if wanted_version and row.version ~= wanted_version then
    problem.raise(412, "changed", ("Somebody has changed this lead meanwhile: it is at version %d. Read it again and repeat your change."):format(row.version), { version = row.version })
  end
  return opened(tenant, row, public)
end

local function rescore(tenant, public, call, options)
  local version = hooks.live(tenant)
  if not version or not hooks.offers(tenant, "scoring", version) then return end
  local lead = leads.get(tenant, public)
  if not lead or not lead.score_reasons then return end
  local input = rules.hook_input(lead, call)
  input.campaign = lead.campaign_id and campaigns.public_id(lead.campaign_id)
  local scored = hooks.call(tenant, "scoring", input, version)
  if not scored or rules.score_text(scored.score) == rules.score_text(lead.score) then return end
  audit.transaction(tenant, function(tx)
    local now = held(tenant, tx, public)
    if not now.score_reasons then return end  -- meanwhile somebody has given it one by hand
    return leads.update(tenant, tx, public, { score = scored.score, score_reasons = scored.reasons or json.array{} }, nil, options)
  end)
end

--- Scores a lead once more, now that the call that made it has ended: one whose score the scoring hook gave, and nobody else.
--- Nobody waits for it: where the database is away the score stays as it is.
--- @param call table  what the hook is told of the call
function leads.rescore(tenant, public, call, options)
  local ok, err = pcall(rescore, tenant, public, call, options)
  if not ok then log.warn("lead.not_rescored", { tenant = tenant.slug, lead = public, text = tostring(err) }) end
end

local clearable = { name = true, phone = true, email = true, notes = true, campaign = true, last_contacted_at = true }

-- The lead with the changes in it; raises problems.
local function changed(tenant, tx, lead, changes)
  local after = {}
  for name, value in pairs(lead) do after[name] = value end
  if changes.score then after.score_reasons = nil end  -- they were those of another score
  for name, value in pairs(changes) do
    if value == json.null then
      assert(clearable[name], "a lead's " .. name .. " cannot be cleared")
      value = nil
    end
    if name == "phone" then
      if value then
        after.phone, after.phone_possible = normal_phone(tenant, value)
      else
        after.phone, after.phone_possible = nil, nil
      end
    elseif name == "campaign" then
      after.campaign_id = value and campaign_row(tenant, value, tx)
    else
      after[name] = value
    end
  end
  if after.status == "assigned" and lead.status ~= "assigned" and not lead.agent_id then
    refuse("status", "becomes \"assigned\" by POST /leads/{leadId}/assign")
  end
  if not rules.has_identity(after) then
    problem.raise(422, "invalid_lead", "A lead needs at least one of name, phone and email.", { errors = { { pointer = "#", detail = "would have none of name, phone, email" } } })
  end
  return after
end

--- Changes a lead in a transaction of the tenant. changes: fields of leads.rules that have been checked and last_contacted_at; json.null clears.
--- @return table lead  as it is now
function leads.update(tenant, tx, public, changes, wanted_version, options)
  local lead = held(tenant, tx, public, wanted_version)
  local after = changed(tenant, tx, lead, changes)
  local row = sealed_row(tenant, after)
  store.update(tx, lead.row, row)
  if after.name ~= lead.name then
    store.remove_words(tx, lead.row)
    store.add_words(tx, lead.row, word_hashes(tenant, after.name))
  end
  local names = names_of(changes)
  audit.record(tx, { actor = options.actor, action = "lead.update", subject = lead.id, fields = names, trace = options.trace })
  audit.event(tx, { type = "lead.updated", subject = lead.id, trace = options.trace,
    data = { fields = names, score = after.score, status = after.status, source = after.source, version = lead.version + 1 } })
  after.version, after.updated_at = lead.version + 1, time.rfc3339(row.at)
  return after
end

--- Gives a lead to an agent (public id), in a transaction of the tenant.
function leads.assign(tenant, tx, public, agent, wanted_version, options)
  local lead = held(tenant, tx, public, wanted_version)
  local agent_id = agents.check_assignable(tx, agent, "#/agentId")
  local status, at = rules.status_when_assigned(lead.status), time.now()
  store.assign(tx, lead.row, agent_id, status, at)
  audit.record(tx, { actor = options.actor, action = "lead.assign", subject = lead.id, fields = { agent = agent }, trace = options.trace })
  audit.event(tx, { type = "lead.assigned", subject = lead.id, trace = options.trace,
    data = { agent = agent, before = lead.agent_id and ids.encode("us", lead.agent_id), status = status, version = lead.version + 1 } })
  lead.agent_id, lead.assigned_at, lead.status = agent_id, time.rfc3339(at), status
  lead.version, lead.updated_at = lead.version + 1, time.rfc3339(at)
  return lead
end

--- Deletes a lead, in a transaction of the tenant.
function leads.delete(tenant, tx, public, wanted_version, options)
  local lead = held(tenant, tx, public, wanted_version)
  store.delete(tx, lead.row, time.now())
  audit.record(tx, { actor = options.actor, action = "lead.delete", subject = lead.id, trace = options.trace })
  audit.event(tx, { type = "lead.deleted", subject = lead.id, data = { version = lead.version + 1 }, trace = options.trace })
end

-- The filters of a search text; nil when nothing can match.
local function search_filters(tenant, text, filters)
  local kind, value = rules.query_kind(text)
  if kind == "email" then
    filters.email_hash = pii.hash(tenant, "email", value)
  elseif kind == "phone" then
    local e164 = rules.phone(value, phone.parse(value, tenant.region))
    if not e164 then return nil end
    filters.phone_hash = pii.hash(tenant, "phone", e164)
  else
    if #value == 0 then return nil end
    filters.words = {}
    for i = 1, math.min(#value, 4) do filters.words[i] = pii.hash(tenant, "word", value[i]) end
  end
  return filters
end

--- A page of leads. query: status, source, agent (row id), unassigned, campaign (row id), score_min, score_max,
--- created_from, created_to (RFC 3339), q, phone, email.
--- @param after table|nil  { id } or { score text, id }, as the last lead's leads.place(lead, sort)
function leads.list(tenant, query, sort, after, limit)
  local filters = {
    status = query.status, source = query.source, agent = query.agent, unassigned = query.unassigned, campaign = query.campaign,
    score_min = query.score_min and rules.score_text(query.score_min), score_max = query.score_max and rules.score_text(query.score_max),
    created_from = query.created_from and time.from_rfc3339(query.created_from), created_to = query.created_to and time.from_rfc3339(query.created_to),
  }
  if query.phone then
    local e164 = rules.phone(query.phone, phone.parse(query.phone, tenant.region))
    if not e164 then return {} end
    filters.phone_hash = pii.hash(tenant, "phone", e164)
  end
  if query.email then filters.email_hash = pii.hash(tenant, "email", pii.normal_email(query.email)) end
  if query.q and not search_filters(tenant, query.q, filters) then return {} end
  local rows = store.list(db.lagging(tenant.db), filters, sort, after, limit)
  for i, row in ipairs(rows) do rows[i] = opened(tenant, row) end
  return rows
end

--- Where a lead stands in an order, for the next page.
function leads.place(lead, sort)
  if sort:find("score", 1, true) then return rules.score_text(lead.score), lead.row end
  return lead.row
end

return leads
