-- SPDX-License-Identifier: Apache-2.0
--- SQL of the review queue. Texts are sealed by who calls.
local db = require "lib.db"

local store = {}

local columns = "id, call_id, external_ref, question, answer, passages, findings, status, note, settled_by, settled_at, version, created_at"

function store.insert(db_name, r)
  return db.query(db_name, [[INSERT INTO ai_review (call_id, external_ref, question, answer, passages, findings, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)]],
    r.call_id, r.external_ref, r.question, r.answer, r.passages, r.findings, r.at).insert_id
end

--- The row of a call by its public id, or nil.
function store.call_row(db_name, public_id)
  local row = db.query(db_name, "SELECT id FROM `call` WHERE public_id = ?", public_id)[1]
  return row and row.id
end

--- The newest first.
--- @param before number|nil  an id
function store.list(db_name, status, before, limit)
  local where, values = { "status = ?" }, { status }
  if before then where[2], values[2] = "id < ?", before end
  return db.query(db_name, ("SELECT %s FROM ai_review WHERE %s ORDER BY id DESC LIMIT %d"):format(columns, table.concat(where, " AND "), limit), unpack(values))
end

function store.get(db_name, id)
  return db.query(db_name, "SELECT " .. columns .. " FROM ai_review WHERE id = ?", id)[1]
end

function store.hold(tx, id)
  return db.run(tx, "SELECT " .. columns .. " FROM ai_review WHERE id = ? FOR UPDATE", id)[1]
end

function store.settle(tx, id, status, note, by, at)
  db.run(tx, "UPDATE ai_review SET status = ?, note = ?, settled_by = ?, settled_at = ?, version = version + 1 WHERE id = ?", status, note, by, at, id)
end

--- How many wait, counted up to a limit.
function store.waiting(db_name, limit)
  return #db.query(db_name, "SELECT id FROM ai_review WHERE status = 'open' ORDER BY id LIMIT " .. tonumber(limit))
end

return store
