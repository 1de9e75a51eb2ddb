-- SPDX-License-Identifier: Apache-2.0
local db = require "lib.db"
local fault = require "core.fault"

local store = {}

--- Adds a job or brings a waiting one forward; a running one will run again.
function store.put(tenant_id, kind, key, due, payload)
  return db.query(db.platform(), [[
    INSERT INTO job (tenant_id, kind, `key`, due, payload) VALUES (?, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE
      payload = COALESCE(VALUES(payload), payload),
      again = CASE WHEN state = 'running' THEN 1 ELSE again END,
      attempt = CASE WHEN state = 'failed' THEN 0 ELSE attempt END,
      due = CASE WHEN state = 'running' THEN due WHEN state = 'failed' OR due IS NULL THEN VALUES(due) ELSE LEAST(due, VALUES(due)) END,
      state = CASE WHEN state = 'failed' THEN 'waiting' ELSE state END]],
    tenant_id, kind, key, due, payload)
end

--- Takes up to `limit` due jobs of these kinds: they are ours until lease_until.
function store.claim(kinds, now, lease_until, owner, limit)
  return db.transaction(db.platform(), function(tx)
    local parameters = { now }
    for _, kind in ipairs(kinds) do parameters[#parameters + 1] = kind end
    parameters[#parameters + 1] = limit
    local rows = db.run(tx, ("SELECT id, tenant_id, kind, `key`, attempt, claim, payload FROM job WHERE due <= ? AND kind IN (%s) ORDER BY due LIMIT ? FOR UPDATE SKIP LOCKED"):format(
      db.marks(#kinds)), unpack(parameters))
    for _, row in ipairs(rows) do
      row.claim = row.claim + 1
      row.attempt = row.attempt + 1
      db.run(tx, "UPDATE job SET state = 'running', due = ?, attempt = ?, claim = ?, lease_owner = ?, again = 0 WHERE id = ?",
        lease_until, row.attempt, row.claim, owner, row.id)
      fault.point("job.taken")
    end
    return rows
  end)
end

--- Each of these holds only while the claim is still ours; they return whether it was.

function store.renew(id, claim, lease_until)
  return db.query(db.platform(), "UPDATE job SET due = ? WHERE id = ? AND claim = ? AND state = 'running'", lease_until, id, claim).affected == 1
end

--- Done: removed, unless it was asked for again while it ran.
function store.finish_once(id, claim, now)
  local gone = db.query(db.platform(), "DELETE FROM job WHERE id = ? AND claim = ? AND again = 0", id, claim).affected == 1
  return gone or store.finish_turn(id, claim, now, now)
end

function store.finish_turn(id, claim, due, now)
  return db.query(db.platform(), [[
    UPDATE job SET state = 'waiting', attempt = 0, lease_owner = NULL, last_error = NULL, done_at = ?,
      due = CASE WHEN again = 1 THEN ? ELSE ? END, again = 0
    WHERE id = ? AND claim = ?]], now, now, due, id, claim).affected == 1
end

--- due nil: given up, until somebody puts it again.
function store.fail(id, claim, due, text, now)
  return db.query(db.platform(), "UPDATE job SET state = ?, due = ?, lease_owner = NULL, last_error = ?, last_error_at = ? WHERE id = ? AND claim = ?",
    due and "waiting" or "failed", due, text:sub(1, 2000), now, id, claim).affected == 1
end

function store.remove(tenant_id, kind, key)
  db.query(db.platform(), "DELETE FROM job WHERE tenant_id = ? AND kind = ? AND `key` = ?", tenant_id, kind, key)
end

function store.get(tenant_id, kind, key)
  return db.query(db.platform(), "SELECT id, state, due, attempt, last_error, last_error_at, done_at FROM job WHERE tenant_id = ? AND kind = ? AND `key` = ?", tenant_id, kind, key)[1]
end

return store
