-- SPDX-License-Identifier: Apache-2.0
--- SQL of bundles, their pointers and the script log. db_name is a tenant's schema.
local db = require "lib.db"
local sql = require "core.sql"

local store = {}

function store.bundle_insert(tx, hash, bytes, report, actor)
  return db.run(tx, [[INSERT IGNORE INTO bundle (hash, bytes, size, report, created_by) VALUES (?, ?, ?, ?, ?)]],
    hash, bytes, #bytes, report, actor)
end

function store.bundle_bytes(db_name, hash)
  local rows = db.query(db_name, "SELECT bytes FROM bundle WHERE hash = ?", hash)
  return rows[1] and rows[1].bytes
end

function store.bundle(db_name, hash)
  return db.query(db_name, "SELECT hash, size, report, created_by, created_at FROM bundle WHERE hash = ?", hash)[1]
end

--- Hashes that begin so, at most two.
function store.bundles_named(db_name, beginning)
  return db.query(db_name, "SELECT hash FROM bundle WHERE hash LIKE ? ORDER BY hash LIMIT 2", beginning .. "%")
end

function store.bundle_exists(tx, hash)
  return db.run(tx, "SELECT 1 AS found FROM bundle WHERE hash = ?", hash)[1] ~= nil
end

--- @param before string|nil  time and hash of the last one of the page before: versions may be of one moment
function store.bundles(db_name, before, hash, limit)
  return db.query(db_name, [[SELECT hash, size, report, created_by, created_at FROM bundle
    WHERE (? IS NULL OR created_at < ? OR (created_at = ? AND hash < ?)) ORDER BY created_at DESC, hash DESC LIMIT ]] .. tonumber(limit),
    before, before, before, hash)
end

function store.pointer(db_name, name)
  return db.query(db_name, "SELECT hash, share, version, published_by, published_at FROM bundle_pointer WHERE name = ?", name)[1]
end

function store.pointer_lock(tx, name)
  return db.run(tx, "SELECT hash, share, version FROM bundle_pointer WHERE name = ? FOR UPDATE", name)[1]
end

function store.pointer_insert(tx, name, hash, actor, at)
  return db.attempt(tx, [[INSERT INTO bundle_pointer (name, hash, published_by, published_at) VALUES (?, ?, ?, ?)]], name, hash, actor, at)
end

function store.pointer_move(tx, name, hash, version, actor, at)
  return db.run(tx, [[UPDATE bundle_pointer SET hash = ?, version = ?, published_by = ?, published_at = ? WHERE name = ?]],
    hash, version, actor, at, name)
end

function store.move_insert(tx, name, version, hash, previous, action, actor, at)
  return db.run(tx, [[INSERT INTO bundle_move (name, version, hash, previous, action, actor, `at`) VALUES (?, ?, ?, ?, ?, ?, ?)]],
    name, version, hash, previous, action, actor, at)
end

function store.moves(db_name, limit)
  return db.query(db_name, [[SELECT name, version, hash, previous, action, actor, `at` FROM bundle_move
    ORDER BY id DESC LIMIT ]] .. tonumber(limit))
end

--- The version before the live one: what a roll-back goes to. Roll-backs do not count, so that several go further back.
function store.previous(tx, name, hash)
  return db.run(tx, [[SELECT previous AS hash FROM bundle_move WHERE name = ? AND hash = ? AND action <> 'rollback' AND previous <> hash
    ORDER BY id DESC LIMIT 1]], name, hash)[1]
end

function store.log_insert(db_name, entry)
  return sql.query(db_name, [[INSERT INTO script_log (`at`, level, call_id, state, bundle_hash, file, line, text)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)]], entry.at, entry.level, entry.call_id or sql.null, entry.state or sql.null,
    entry.bundle_hash or sql.null, entry.file or sql.null, entry.line or sql.null, entry.text)
end

function store.log_list(db_name, before, call_id, limit)
  return db.query(db_name, [[SELECT id, `at`, level, call_id, state, bundle_hash, file, line, text FROM script_log
    WHERE (? IS NULL OR id < ?) AND (? IS NULL OR call_id = ?) ORDER BY id DESC LIMIT ]] .. tonumber(limit),
    before, before, call_id, call_id)
end

return store
