-- SPDX-License-Identifier: Apache-2.0
--- SQL of bundles, their pointers, their use and the script log. db_name is a tenant's schema.
local db = require "lib.db"

local store = {}

-- versions -------------------------------------------------------------------------------------------------------------------

--- @param parent string|nil  the version it was made from
function store.bundle_insert(tx, hash, bytes, report, actor, parent)
  return db.run(tx, [[INSERT IGNORE INTO bundle (hash, bytes, size, report, created_by, parent) VALUES (?, ?, ?, ?, ?, ?)]],
    hash, bytes, #bytes, report, actor, parent)
end

--- What is stored already was checked again.
function store.bundle_report(tx, hash, report)
  return db.run(tx, "UPDATE bundle SET report = ? WHERE hash = ?", report, hash)
end

function store.bundle_bytes(db_name, hash)
  local rows = db.query(db_name, "SELECT bytes FROM bundle WHERE hash = ?", hash)
  return rows[1] and rows[1].bytes
end

--- @param target table|string  tx or schema
function store.bundle(target, hash)
  return db.on(target, "SELECT hash, size, report, created_by, created_at, parent FROM bundle WHERE hash = ?", hash)[1]
end

--- @param before string|nil  time and hash of the last one of the page before: versions may be of one moment
function store.bundles(db_name, before, hash, limit)
  return db.query(db_name, [[SELECT hash, size, report, created_by, created_at, parent FROM bundle
    WHERE (? IS NULL OR created_at < ? OR (created_at = ? AND hash < ?)) ORDER BY created_at DESC, hash DESC LIMIT ]] .. tonumber(limit),
    before, before, before, hash)
end

--- Versions whose hash begins so (hex digits only).
function store.bundles_like(db_name, prefix, limit)
  return db.query(db_name, [[SELECT hash, size, report, created_by, created_at, parent FROM bundle
    WHERE hash >= ? AND hash <= ? ORDER BY hash LIMIT ]] .. tonumber(limit), prefix, prefix .. ("f"):rep(64 - #prefix))
end

-- pointers -------------------------------------------------------------------------------------------------------------------

local pointer_columns = "name, hash, share, version, error_limit, min_calls, calls_before, failed_before, published_by, published_at"

local function by_name(rows)
  local found = {}
  for _, row in ipairs(rows) do found[row.name] = row end
  return found
end

--- Both pointers: { live = row | nil, canary = row }.
function store.pointers(db_name)
  return by_name(db.query(db_name, ("SELECT %s FROM bundle_pointer"):format(pointer_columns)))
end

--- The same, held until the transaction ends: who moves one waits for who moves the other.
function store.pointers_lock(tx)
  return by_name(db.run(tx, ("SELECT %s FROM bundle_pointer ORDER BY name FOR UPDATE"):format(pointer_columns)))
end

function store.live_hash(tx)
  local row = db.run(tx, "SELECT hash FROM bundle_pointer WHERE name = 'live'")[1]
  return row and row.hash
end

--- false when somebody else made it first.
function store.live_insert(tx, hash, actor, at)
  local done, err = db.attempt(tx, [[INSERT INTO bundle_pointer (name, hash, published_by, published_at) VALUES ('live', ?, ?, ?)]], hash, actor, at)
  if not done and err.code ~= "exists" then db.fail(err) end
  return done ~= nil
end

function store.live_move(tx, hash, version, actor, at)
  return db.run(tx, [[UPDATE bundle_pointer SET hash = ?, version = ?, published_by = ?, published_at = ? WHERE name = 'live']],
    hash, version, actor, at)
end

--- @param row table  hash (nil: none), share, version, error_limit, min_calls, calls_before, failed_before
function store.canary_move(tx, row, actor, at)
  return db.run(tx, [[UPDATE bundle_pointer SET hash = ?, share = ?, version = ?, error_limit = ?, min_calls = ?, calls_before = ?,
    failed_before = ?, published_by = ?, published_at = ? WHERE name = 'canary']],
    row.hash, row.share, row.version, row.error_limit, row.min_calls, row.calls_before, row.failed_before, actor, at)
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

-- use ------------------------------------------------------------------------------------------------------------------------

function store.use_add(db_name, hash, calls, failed, over_budget, at)
  return db.query(db_name, [[INSERT INTO bundle_use (hash, calls, failed, over_budget, last_at) VALUES (?, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE calls = calls + VALUES(calls), failed = failed + VALUES(failed),
      over_budget = over_budget + VALUES(over_budget), last_at = VALUES(last_at)]], hash, calls, failed, over_budget, at)
end

--- @param target table|string  tx or schema
function store.use(target, hash)
  return db.on(target, "SELECT calls, failed, over_budget, last_at FROM bundle_use WHERE hash = ?", hash)[1]
end

--- The canary with its calls so far, when it is this version: { version, error_limit, min_calls, calls, failed } | nil.
function store.canary_use(db_name, hash)
  return db.query(db_name, [[SELECT p.version, p.error_limit, p.min_calls, u.calls - p.calls_before AS calls, u.failed - p.failed_before AS failed
    FROM bundle_pointer p JOIN bundle_use u ON u.hash = p.hash WHERE p.name = 'canary' AND p.hash = ?]], hash)[1]
end

-- the script log ---------------------------------------------------------------------------------------------------------------

local log_fields = { "at", "level", "call_id", "call", "state", "bundle_hash", "file", "line", "text", "trace" }
local one_line = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

--- Lines, in order. How many there are is part of the statement, which a connection keeps: few different numbers, please.
function store.log_insert(db_name, lines)
  local values, count = {}, 0
  for _, line in ipairs(lines) do
    for _, name in ipairs(log_fields) do
      count = count + 1
      values[count] = line[name]
    end
  end
  return db.query(db_name, "INSERT INTO script_log (`at`, level, call_id, call_public_id, state, bundle_hash, file, line, text, trace) VALUES "
    .. (one_line .. ", "):rep(#lines - 1) .. one_line, unpack(values, 1, count))
end

local log_select = "SELECT id, `at`, level, call_public_id AS `call`, state, bundle_hash, file, line, text, trace FROM script_log "

--- The row of a call by its public id, or nil.
function store.call_id(db_name, public_id)
  local row = db.query(db_name, "SELECT id FROM `call` WHERE public_id = ?", public_id)[1]
  return row and row.id
end

--- The newest lines first. before: an id; call_id: of one call.
function store.log_list(db_name, before, call_id, limit)
  local where, values = {}, {}
  if before then where[1], values[1] = "id < ?", before end
  if call_id then where[#where + 1], values[#values + 1] = "call_id = ?", call_id end
  local text = #where > 0 and "WHERE " .. table.concat(where, " AND ") .. " " or ""
  return db.query(db_name, log_select .. text .. "ORDER BY id DESC LIMIT " .. tonumber(limit), unpack(values))
end

--- The lines after an id, the oldest first.
function store.log_after(db_name, after, call_id, limit)
  local text, values = "WHERE id > ?", { after }
  if call_id then text, values[2] = text .. " AND call_id = ?", call_id end
  return db.query(db_name, log_select .. text .. " ORDER BY id LIMIT " .. tonumber(limit), unpack(values))
end

function store.log_newest(db_name)
  local row = db.query(db_name, "SELECT id FROM script_log ORDER BY id DESC LIMIT 1")[1]
  return row and row.id or 0
end

function store.log_forget(db_name, before, limit)
  return db.query(db_name, "DELETE FROM script_log WHERE `at` < ? ORDER BY `at` LIMIT " .. tonumber(limit), before).affected
end

function store.log_is_empty(db_name)
  return db.query(db_name, "SELECT 1 AS found FROM script_log LIMIT 1")[1] == nil
end

return store
