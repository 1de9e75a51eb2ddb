-- SPDX-License-Identifier: Apache-2.0
local db = require "lib.db"

local store = {}

--- Takes the key for this transaction; false when it is there already. Waits for a transaction that holds it.
function store.take(tx, key_hash, fingerprint, now)
  local done, err = db.attempt(tx, "INSERT INTO idempotency (key_hash, fingerprint, created_at) VALUES (?, ?, ?)", key_hash, fingerprint, now)
  if done then return true end
  if err.code == "exists" then return false end
  db.fail(err)
end

function store.finish(tx, key_hash, status, response)
  db.run(tx, "UPDATE idempotency SET status = ?, response = ? WHERE key_hash = ?", status, response, key_hash)
end

function store.get(name, key_hash)
  return db.query(name, "SELECT fingerprint, status, response FROM idempotency WHERE key_hash = ?", key_hash)[1]
end

--- Removes some old keys; returns how many.
function store.prune(name, before, limit)
  return db.query(name, "DELETE FROM idempotency WHERE created_at < ? ORDER BY created_at LIMIT ?", before, limit).affected
end

return store
