-- SPDX-License-Identifier: Apache-2.0
local db = require "lib.db"

local store = {}

--- Which tenants know an e-mail.
function store.logins(email_hash, limit)
  return db.query(db.platform(), [[
    SELECT l.user_id, t.id AS tenant_id, t.slug FROM login l JOIN tenant t ON t.id = l.tenant_id
    WHERE l.email_hash = ? AND t.status = 'active' ORDER BY t.id LIMIT ?]], email_hash, limit)
end

function store.operator_by_email(email_hash)
  return db.query(db.platform(), "SELECT id, email, password_hash, status FROM `operator` WHERE email_hash = ?", email_hash)[1]
end

function store.operator(id)
  return db.query(db.platform(), "SELECT id, email, password_hash, status FROM `operator` WHERE id = ?", id)[1]
end

function store.put_operator(email, email_hash, password_hash)
  db.query(db.platform(), [[
    INSERT INTO `operator` (email, email_hash, password_hash) VALUES (?, ?, ?)
    ON DUPLICATE KEY UPDATE password_hash = VALUES(password_hash), status = 'active']], email, email_hash, password_hash)
end

function store.add_refresh(tx, token_hash, family, tenant_id, user_id, issued, expires)
  db.run(tx, "INSERT INTO refresh_token (token_hash, family, tenant_id, user_id, issued_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
    token_hash, family, tenant_id, user_id, issued, expires)
end

function store.hold_refresh(tx, token_hash)
  return db.run(tx, "SELECT id, family, tenant_id, user_id, expires_at, used_at, revoked_at FROM refresh_token WHERE token_hash = ? FOR UPDATE", token_hash)[1]
end

function store.use_refresh(tx, id, at)
  db.run(tx, "UPDATE refresh_token SET used_at = ? WHERE id = ?", at, id)
end

function store.revoke_family(tx, family, at)
  db.run(tx, "UPDATE refresh_token SET revoked_at = ? WHERE family = ? AND revoked_at IS NULL", at, family)
end

function store.revoke_user(tenant_id, user_id, at)
  db.query(db.platform(), "UPDATE refresh_token SET revoked_at = ? WHERE tenant_id = ? AND user_id = ? AND revoked_at IS NULL", at, tenant_id, user_id)
end

function store.prune_refresh(before, limit)
  return db.query(db.platform(), "DELETE FROM refresh_token WHERE expires_at < ? ORDER BY expires_at LIMIT ?", before, limit).affected
end

local key_columns = "k.id, k.tenant_id, k.name, k.secret_hash, k.role, k.scopes, k.created_by, k.created_at, k.expires_at, k.revoked_at, k.last_used_at, t.slug"

function store.key(id)
  return db.query(db.platform(), "SELECT " .. key_columns .. " FROM api_key k JOIN tenant t ON t.id = k.tenant_id WHERE k.id = ?", id)[1]
end

function store.keys(tenant_id)
  return db.query(db.platform(), "SELECT " .. key_columns .. " FROM api_key k JOIN tenant t ON t.id = k.tenant_id WHERE k.tenant_id = ? ORDER BY k.id LIMIT 500", tenant_id)
end

function store.add_key(tx, tenant_id, name, secret_hash, role, scopes, created_by, expires)
  return db.run(tx, "INSERT INTO api_key (tenant_id, name, secret_hash, role, scopes, created_by, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    tenant_id, name, secret_hash, role, scopes, created_by, expires).insert_id
end

function store.revoke_key(tx, tenant_id, id, at)
  return db.run(tx, "UPDATE api_key SET revoked_at = ? WHERE id = ? AND tenant_id = ? AND revoked_at IS NULL", at, id, tenant_id).affected == 1
end

function store.touch_key(id, at)
  db.query(db.platform(), "UPDATE api_key SET last_used_at = ? WHERE id = ?", at, id)
end

return store
