-- SPDX-License-Identifier: Apache-2.0
--- SQL of the nodes that were added at run time.
local db = require "lib.db"

local store = {}

--- All of them: an installation has few.
function store.all()
  return db.query(db.platform(), "SELECT id, name, ari_url, ari_user, ari_password, sip, status, created_at, updated_at FROM node ORDER BY name")
end

--- In a transaction of the platform, locked.
function store.by_name(tx, name)
  return db.run(tx, "SELECT id, name, ari_url, ari_user, ari_password, sip, status, created_at, updated_at FROM node WHERE name = ? FOR UPDATE", name)[1]
end

function store.insert(tx, n)
  return db.run(tx, "INSERT INTO node (name, ari_url, ari_user, ari_password, sip) VALUES (?, ?, ?, ?, ?)",
    n.name, n.ari_url, n.ari_user, n.ari_password, n.sip)
end

function store.change(tx, id, n)
  return db.run(tx, "UPDATE node SET ari_url = ?, ari_user = ?, ari_password = ?, sip = ?, status = 'active' WHERE id = ?",
    n.ari_url, n.ari_user, n.ari_password, n.sip, id)
end

function store.leave(tx, id)
  return db.run(tx, "UPDATE node SET status = 'leaving' WHERE id = ?", id)
end

return store
