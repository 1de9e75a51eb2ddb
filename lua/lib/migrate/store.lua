-- SPDX-License-Identifier: Apache-2.0
local db = require "lib.db"

local store = {}

local function checked(name)
  assert(name:match("^[%w_]+$") and #name <= 64, "schema name")
  return name
end

--- @param server string  "" or the server's name and a slash
function store.create_schema(server, name)
  db.query(server, ("CREATE DATABASE IF NOT EXISTS `%s` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"):format(checked(name)))
end

function store.create_bookkeeping(name)
  db.query(name, [[
    CREATE TABLE IF NOT EXISTS migration (
      file VARCHAR(128) NOT NULL,
      hash CHAR(64) NOT NULL,
      statements INT NOT NULL,
      begun INT NOT NULL DEFAULT 0 COMMENT 'the last statement that was started',
      done INT NOT NULL DEFAULT 0 COMMENT 'the last statement that took effect',
      started_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
      finished_at DATETIME(6) NULL,
      PRIMARY KEY (file)
    ) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin]])
end

--- file name -> row; nil when the schema has no bookkeeping yet.
function store.applied(name)
  local rows, err = db.try(name, "SELECT file, hash, statements, begun, done FROM migration")
  if not rows then
    if err.number == 1146 or err.number == 1049 then return nil end  -- no such table, no such schema
    error("migration: " .. err.text, 0)
  end
  local applied = {}
  for _, row in ipairs(rows) do applied[row.file] = row end
  return applied
end

function store.start(name, file, hash, statements)
  db.query(name, "INSERT INTO migration (file, hash, statements) VALUES (?, ?, ?)", file, hash, statements)
end

function store.begin(name, file, index)
  db.query(name, "UPDATE migration SET begun = ? WHERE file = ?", index, file)
end

function store.done(name, file, index)
  db.query(name, "UPDATE migration SET done = ?, finished_at = CASE WHEN statements = ? THEN CURRENT_TIMESTAMP(6) ELSE NULL END WHERE file = ?", index, index, file)
end

--- A statement that takes effect for good: rows | nil, err.
function store.run(name, statement)
  return db.try(name, statement)
end

--- A statement and the note that it is done, in one transaction.
function store.run_noted(name, statement, file, index)
  db.transaction(name, function(tx)
    db.run(tx, statement)
    db.run(tx, "UPDATE migration SET begun = ?, done = ?, finished_at = CASE WHEN statements = ? THEN CURRENT_TIMESTAMP(6) ELSE NULL END WHERE file = ?",
      index, index, index, file)
  end)
end

--- Runs fn(still_mine) while this connection holds the named lock; nil when another holds it for longer than wait_s.
--- MySQL gives the lock back by itself when the connection goes.
function store.locked(lock, wait_s, fn)
  return db.transaction("information_schema", function(tx)
    if db.run(tx, "SELECT GET_LOCK(?, ?) AS got", lock, wait_s)[1].got ~= 1 then return false end
    local function still_mine()
      return db.run(tx, "SELECT IS_USED_LOCK(?) = CONNECTION_ID() AS mine", lock)[1].mine == 1
    end
    local ok, result = pcall(fn, still_mine)
    db.run(tx, "SELECT RELEASE_LOCK(?) AS released", lock)
    if not ok then error(result, 0) end
    return true
  end)
end

return store
