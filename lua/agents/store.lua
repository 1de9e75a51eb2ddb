-- SPDX-License-Identifier: Apache-2.0
--- Rows of `user`, and the platform's rows that lead a log-in to them.
local db = require "lib.db"

local store = {}

local columns = "id, email, email_hash, name, password_hash, role, status, version, created_at, updated_at"

function store.get(name, id)
  return db.query(name, "SELECT " .. columns .. " FROM `user` WHERE id = ?", id)[1]
end

function store.by_email(target, email_hash)
  return db.on(target, "SELECT " .. columns .. " FROM `user` WHERE email_hash = ?", email_hash)[1]
end

--- In a transaction, with the row locked.
function store.hold(tx, id)
  return db.run(tx, "SELECT " .. columns .. " FROM `user` WHERE id = ? FOR UPDATE", id)[1]
end

--- Role and status of a user as a transaction sees them; the row cannot change until it ends.
function store.hold_shared(tx, id)
  return db.run(tx, "SELECT id, role, status FROM `user` WHERE id = ? LOCK IN SHARE MODE", id)[1]
end

--- The new id, or nil when the e-mail is taken.
function store.insert(tx, row)
  local done, err = db.attempt(tx, "INSERT INTO `user` (email, email_hash, name, password_hash, role) VALUES (?, ?, ?, ?, ?)",
    row.email, row.email_hash, row.name, row.password_hash, row.role)
  if done then return done.insert_id end
  if err.code == "exists" then return nil end
  db.fail(err)
end

function store.update(tx, id, row)
  db.run(tx, "UPDATE `user` SET name = ?, password_hash = ?, role = ?, status = ?, version = version + 1 WHERE id = ?",
    row.name, row.password_hash, row.role, row.status, id)
end

--- How many others may administer, with their rows locked: the last one must not go.
function store.other_admins(tx, id)
  return #db.run(tx, "SELECT id FROM `user` WHERE role = 'admin' AND status = 'active' AND id <> ? LIMIT 1 FOR UPDATE", id)
end

function store.list(name, after, limit, role, status)
  local text, parameters = "SELECT " .. columns .. " FROM `user` WHERE id > ?", { after }
  if role then
    text = text .. " AND role = ?"
    parameters[#parameters + 1] = role
  end
  if status then
    text = text .. " AND status = ?"
    parameters[#parameters + 1] = status
  end
  parameters[#parameters + 1] = limit
  return db.query(name, text .. " ORDER BY id LIMIT ?", unpack(parameters))
end

--- From an e-mail to the tenant; written before the user's row is there, since a row too many is harmless.
function store.announce_login(email_hash, tenant_id)
  db.query(db.platform(), "INSERT INTO login (email_hash, tenant_id) VALUES (?, ?) ON DUPLICATE KEY UPDATE user_id = user_id", email_hash, tenant_id)
end

--- And to the user, once the row is committed.
function store.link_login(email_hash, tenant_id, user_id)
  db.query(db.platform(), "UPDATE login SET user_id = ? WHERE email_hash = ? AND tenant_id = ?", user_id, email_hash, tenant_id)
end

return store
