-- SPDX-License-Identifier: Apache-2.0
local db = require "lib.db"

local store = {}

local columns = "id, slug, name, schema_name, `database`, region, status, limits, data_key, created_at"

function store.by_slug(slug)
  return db.query(db.platform(), "SELECT " .. columns .. " FROM tenant WHERE slug = ?", slug)[1]
end

function store.by_id(id)
  return db.query(db.platform(), "SELECT " .. columns .. " FROM tenant WHERE id = ?", id)[1]
end

--- A page of tenants after an id, in order.
function store.after(id, limit)
  return db.query(db.platform(), "SELECT " .. columns .. " FROM tenant WHERE id > ? ORDER BY id LIMIT ?", id, limit)
end

--- New row in status "creating"; nil when the slug is taken.
function store.insert(slug, name, region, database, data_key)
  local done, err = db.try(db.platform(), "INSERT INTO tenant (slug, name, region, `database`, data_key) VALUES (?, ?, ?, ?, ?)", slug, name, region, database, data_key)
  if done then return done.insert_id end
  if err.code == "exists" then return nil end
  db.fail(err)
end

function store.set_schema(id, schema_name)
  db.query(db.platform(), "UPDATE tenant SET schema_name = ? WHERE id = ?", schema_name, id)
end

--- What a second try of a creation that died may say differently.
function store.set_names(id, name, region, database)
  db.query(db.platform(), "UPDATE tenant SET name = ?, region = ?, `database` = ? WHERE id = ? AND status = 'creating'", name, region, database, id)
end

function store.set_status(tx, id, status)
  db.run(tx, "UPDATE tenant SET status = ? WHERE id = ?", status, id)
end

--- @param limits string|nil  JSON
function store.set_limits(tx, id, limits)
  db.run(tx, "UPDATE tenant SET limits = ? WHERE id = ?", limits, id)
end

--- Lets the tables of a tenant's schema number their rows from `first` on; those that are beyond it already stay as they are.
function store.number_from(name, first)
  local tables = db.query(name, [[
    SELECT c.TABLE_NAME AS name FROM information_schema.COLUMNS c
    JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.EXTRA LIKE '%auto_increment%' AND c.TABLE_NAME <> 'tenant'
      AND (t.AUTO_INCREMENT IS NULL OR t.AUTO_INCREMENT < ?)]], first)
  for _, row in ipairs(tables) do
    db.query(name, ("ALTER TABLE `%s` AUTO_INCREMENT = %d"):format(row.name, first))
  end
end

--- The tenant's own row, which the tables of its schema refer to.
function store.put_own_row(name, platform_id, slug, title)
  db.query(name, "INSERT INTO tenant (id, platform_id, slug, name) VALUES (1, ?, ?, ?) ON DUPLICATE KEY UPDATE name = VALUES(name)", platform_id, slug, title)
end

return store
