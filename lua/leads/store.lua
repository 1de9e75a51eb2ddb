-- SPDX-License-Identifier: Apache-2.0
local db = require "lib.db"

local store = {}

local columns = "id, name, phone, phone_possible, email, score, score_reasons, status, source, campaign_id, call_id, "
  .. "assigned_agent_id, assigned_at, last_contacted_at, notes, data, version, created_at, updated_at"

-- Put together once, not for each statement.
local by_effect = "SELECT " .. columns .. " FROM `lead` WHERE effect_key = ?"
local by_id = "SELECT " .. columns .. " FROM `lead` WHERE id = ? AND deleted_at IS NULL"
local by_id_held = by_id .. " FOR UPDATE"

--- The new id, or nil when a lead with this effect_key is there.
function store.insert(tx, r)
  local done, err = db.attempt(tx, [[
    INSERT INTO `lead` (name, phone, phone_hash, phone_possible, email, email_hash, score, score_reasons, status, source, campaign_id, call_id,
      notes, data, effect_key, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]],
    r.name, r.phone, r.phone_hash, r.phone_possible, r.email, r.email_hash, r.score, r.score_reasons, r.status, r.source, r.campaign_id, r.call_id,
    r.notes, r.data, r.effect_key, r.at, r.at)
  if done then return done.insert_id end
  if err.code == "exists" then return nil end
  db.fail(err)
end

function store.by_effect(tx, effect_key)
  return db.run(tx, by_effect, effect_key)[1]
end

function store.get(name, id)
  return db.query(name, by_id, id)[1]
end

function store.hold(tx, id)
  return db.run(tx, by_id_held, id)[1]
end

function store.update(tx, id, r)
  db.run(tx, [[
    UPDATE `lead` SET name = ?, phone = ?, phone_hash = ?, phone_possible = ?, email = ?, email_hash = ?, score = ?, score_reasons = ?, status = ?, source = ?,
      campaign_id = ?, notes = ?, data = ?, last_contacted_at = ?, version = version + 1, updated_at = ? WHERE id = ?]],
    r.name, r.phone, r.phone_hash, r.phone_possible, r.email, r.email_hash, r.score, r.score_reasons, r.status, r.source,
    r.campaign_id, r.notes, r.data, r.last_contacted_at, r.at, id)
end

function store.assign(tx, id, agent_id, status, at)
  db.run(tx, "UPDATE `lead` SET assigned_agent_id = ?, assigned_at = ?, status = ?, version = version + 1, updated_at = ? WHERE id = ?", agent_id, at, status, at, id)
end

--- Out of sight. The row stays until retention removes it; its words go now.
function store.delete(tx, id, at)
  db.run(tx, "UPDATE `lead` SET deleted_at = ?, version = version + 1, updated_at = ? WHERE id = ?", at, at, id)
  db.run(tx, "DELETE FROM lead_word WHERE lead_id = ?", id)
end

function store.add_words(tx, id, hashes)
  if #hashes == 0 then return end
  local values = {}
  for _, hash in ipairs(hashes) do
    values[#values + 1] = hash
    values[#values + 1] = id
  end
  db.run(tx, "INSERT INTO lead_word (word_hash, lead_id) VALUES " .. ("(?, ?), "):rep(#hashes):sub(1, -3), unpack(values))
end

function store.remove_words(tx, id)
  db.run(tx, "DELETE FROM lead_word WHERE lead_id = ?", id)
end

-- Conditions by filter name: text with one mark.
local conditions = {
  status = "status = ?",
  source = "source = ?",
  agent = "assigned_agent_id = ?",
  campaign = "campaign_id = ?",
  score_min = "score >= CAST(? AS DECIMAL(5, 2))",
  score_max = "score <= CAST(? AS DECIMAL(5, 2))",
  created_from = "created_at >= ?",
  created_to = "created_at < ?",
  phone_hash = "phone_hash = ?",
  email_hash = "email_hash = ?",
}
local order_of_conditions = { "status", "source", "agent", "campaign", "score_min", "score_max", "created_from", "created_to", "phone_hash", "email_hash" }

local ends = {
  ["-created"] = { after = "id < ?", order = "id DESC" },
  created = { after = "id > ?", order = "id" },
  ["-score"] = { after = "(score < CAST(? AS DECIMAL(5, 2)) OR (score = CAST(? AS DECIMAL(5, 2)) AND id < ?))", order = "score DESC, id DESC" },
  score = { after = "(score > CAST(? AS DECIMAL(5, 2)) OR (score = CAST(? AS DECIMAL(5, 2)) AND id > ?))", order = "score, id" },
}

--- @param filters table  names of `conditions` -> value; words = list of hashes that all must match; unassigned = true
--- @param sort string  "created", "-created", "score", "-score"
--- @param after table|nil  { id } or { score text, id }
function store.list(name, filters, sort, after, limit)
  local where, parameters = { "deleted_at IS NULL" }, {}
  for _, filter in ipairs(order_of_conditions) do
    if filters[filter] ~= nil then
      where[#where + 1] = conditions[filter]
      parameters[#parameters + 1] = filters[filter]
    end
  end
  if filters.unassigned then where[#where + 1] = "assigned_agent_id IS NULL" end
  for _, hash in ipairs(filters.words or {}) do
    where[#where + 1] = "id IN (SELECT lead_id FROM lead_word WHERE word_hash = ?)"
    parameters[#parameters + 1] = hash
  end
  local last = ends[sort]
  if after then
    where[#where + 1] = last.after
    if #after == 2 then parameters[#parameters + 1] = after[1] end
    for _, value in ipairs(after) do parameters[#parameters + 1] = value end
  end
  parameters[#parameters + 1] = limit
  return db.query(name, ("SELECT %s FROM `lead` WHERE %s ORDER BY %s LIMIT ?"):format(columns, table.concat(where, " AND "), last.order), unpack(parameters))
end

return store
