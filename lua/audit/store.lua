-- SPDX-License-Identifier: Apache-2.0
local crypto = require "core.crypto"
local db = require "lib.db"
local fault = require "core.fault"
local json = require "core.json"

local store = {}

function store.add_event(tx, type, subject, data, trace, at)
  db.run(tx, "INSERT INTO outbox (type, subject, data, trace, `at`) VALUES (?, ?, ?, ?, ?)", type, subject, data, trace, at)
end

-- Of one statement; and what a packet of the database's is sure to take, though JSON makes it longer.
store.EVENTS_MOST, store.EVENTS_BYTES = 500, 256 * 1024

local add_events = "INSERT INTO outbox (type, subject, trace, `at`, data) SELECT n.type, n.subject, n.trace, n.`at`, n.data FROM "
  .. db.rows("n", { "type VARCHAR(400)", "subject VARCHAR(400)", "trace VARCHAR(200)", "`at` VARCHAR(32)", "data MEDIUMTEXT" })

--- Many at once, EVENTS_MOST and EVENTS_BYTES of data at most, in their order: rows are { type, subject, trace or json.null, at, data }.
function store.add_events(tx, rows)
  db.run(tx, add_events, json.encode(rows))
end

function store.add_audit(tx, row)
  db.run(tx, "INSERT INTO audit_pending (`at`, actor, action, subject, fields, trace) VALUES (?, ?, ?, ?, ?, ?)",
    row.at, row.actor, row.action, row.subject, row.fields, row.trace)
end

--- The platform's own audit rows have no chain and no sequencer: one table, in the platform schema.
function store.add_platform_audit(tx, row)
  db.run(tx, "INSERT INTO audit_log (`at`, actor, action, subject, fields, trace) VALUES (?, ?, ?, ?, ?, ?)",
    row.at, row.actor, row.action, row.subject, row.fields, row.trace)
end

-- So many rows, or so many bytes of what they say when that is less, but always one. Redis has a second for a batch.
store.BATCH, store.BATCH_BYTES = 512, 1024 * 1024
local SHORT_BYTES = 8 * 1024

-- The first of these rows (at most `most` were asked for) that are a batch, and whether there may be more. A long text does not come with
-- its row (see short): it is fetched when its row is in the batch. fetch(row) -> its text
local function batch(rows, most, column, fetch)
  local bytes = 0
  for i, row in ipairs(rows) do
    bytes = bytes + row.bytes
    if i > 1 and bytes > store.BATCH_BYTES then
      for k = #rows, i, -1 do rows[k] = nil end
      return rows, true
    end
    if fetch and not row[column] then row[column] = fetch(row) end
  end
  return rows, #rows == most
end

-- The column when it is short, and its length.
local function short(column)
  return ("IF(LENGTH(%s) <= %d, %s, NULL) AS %s, LENGTH(%s) AS bytes"):format(column, SHORT_BYTES, column, column, column)
end

--- The sequencer's row, held until the transaction ends: one at a time moves outbox rows.
function store.hold(tx)
  return db.run(tx, "SELECT seq, published, audit_seq, audit_hash FROM sequencer WHERE id = 1 FOR UPDATE")[1]
end

--- Rows of a batch, and whether there may be more; so do audit_pending and events_after.
function store.outbox(tx)
  return batch(db.run(tx, "SELECT id, LENGTH(data) AS bytes FROM outbox ORDER BY id LIMIT ?", store.BATCH), store.BATCH)
end

-- The rows named by a statement's parameter, each by its primary key. A list of ids could be a scan of the table where that is small:
-- it would lock what others have not committed, and wait for them.
local function picked(name, columns)
  return ("FROM %s STRAIGHT_JOIN %s AS o ON o.id = picked.id"):format(db.rows("picked", columns), name)
end

local copy_events = "INSERT INTO event (seq, type, subject, data, trace, `at`) SELECT picked.seq, o.type, o.subject, o.data, o.trace, o.`at` "
  .. picked("outbox", { "id BIGINT", "seq BIGINT" })
local remove_events = "DELETE o " .. picked("outbox", { "id BIGINT" })

--- Moves exactly these rows to event, numbered after seq.
function store.move_events(tx, rows, seq)
  local list = {}
  for i, row in ipairs(rows) do list[i] = { row.id, seq + i } end
  local text = json.encode(list)
  local moved = db.run(tx, copy_events, text).affected
  assert(moved == #rows, "outbox rows went while the sequencer held them")
  fault.point("sequencer.events_copied")
  db.run(tx, remove_events, text)
end

local next_audit = "SELECT id, `at`, actor, action, subject, " .. short("fields") .. ", trace FROM audit_pending ORDER BY id LIMIT ?"

function store.audit_pending(tx)
  return batch(db.run(tx, next_audit, store.BATCH), store.BATCH, "fields", function(row)
    return db.run(tx, "SELECT fields FROM audit_pending WHERE id = ?", row.id)[1].fields
  end)
end

local copy_audit = "INSERT INTO audit_log (seq, `at`, actor, action, subject, fields, trace, hash) "
  .. "SELECT picked.seq, o.`at`, o.actor, o.action, o.subject, o.fields, o.trace, UNHEX(picked.hash) "
  .. picked("audit_pending", { "id BIGINT", "seq BIGINT", "hash VARCHAR(64)" })
local remove_audit = "DELETE o " .. picked("audit_pending", { "id BIGINT" })

--- Adds these rows to the chain, numbered after seq, each with its hash, and removes them from audit_pending.
function store.move_audit(tx, rows, seq, hashes)
  local list = {}
  for i, row in ipairs(rows) do list[i] = { row.id, seq + i, crypto.hex(hashes[i]) } end
  local text = json.encode(list)
  local moved = db.run(tx, copy_audit, text).affected
  assert(moved == #rows, "audit rows went while the sequencer held them")
  fault.point("sequencer.audit_copied")
  db.run(tx, remove_audit, text)
end

function store.set_numbers(tx, seq, audit_seq, audit_hash)
  db.run(tx, "UPDATE sequencer SET seq = ?, audit_seq = ?, audit_hash = ? WHERE id = 1", seq, audit_seq, audit_hash)
end

function store.set_published(tx, seq)
  db.run(tx, "UPDATE sequencer SET published = ? WHERE id = 1", seq)
end

local next_events = "SELECT seq, type, subject, " .. short("data") .. ", trace, `at` FROM event WHERE seq > ? ORDER BY seq LIMIT ?"

function store.events_after(tx, seq)
  return batch(db.run(tx, next_events, seq, store.BATCH), store.BATCH, "data", function(row)
    return db.run(tx, "SELECT data FROM event WHERE seq = ?", row.seq)[1].data
  end)
end

--- The newest event's number, and whether anything waits to be numbered.
function store.newest(name)
  return db.query(name, "SELECT seq, published FROM sequencer WHERE id = 1")[1]
end

--- Where the chain of audit rows ends.
function store.head(name)
  return db.query(name, "SELECT audit_seq, audit_hash FROM sequencer WHERE id = 1")[1]
end

--- Does anything wait for the sequencer or for the stream?
function store.has_work(name)
  return db.query(name, [[
    SELECT EXISTS (SELECT 1 FROM outbox) OR EXISTS (SELECT 1 FROM audit_pending)
      OR EXISTS (SELECT 1 FROM sequencer WHERE published < seq) AS work]])[1].work == 1
end

-- A page after seq, as a batch. of: what `pages` made. ...: column, value, and so on; a value of nil holds of all rows.
local function page(of, name, after, limit, ...)
  local text, parameters = of.page, { after }
  for i = 1, select("#", ...), 2 do
    local column, value = select(i, ...)
    if value then
      text = text .. " AND " .. column .. " = ?"
      parameters[#parameters + 1] = value
    end
  end
  parameters[#parameters + 1] = limit
  local rows = db.query(name, text .. " ORDER BY seq LIMIT ?", unpack(parameters))
  return batch(rows, limit, of.column, function(row) return db.query(name, of.one, row.seq)[1][of.column] end)
end

-- The statements for pages of a table: all rows of one, and the column that may be long of one row.
local function pages(table_name, columns, column)
  return { column = column, page = ("SELECT seq, `at`, %s, %s FROM %s WHERE seq > ?"):format(columns, short(column), table_name),
    one = ("SELECT %s FROM %s WHERE seq = ?"):format(column, table_name) }
end

local events, audit_rows = pages("event", "type, subject, trace", "data"), pages("audit_log", "actor, action, subject, trace, hash", "fields")

--- Events after a seq, at most so many and fewer where they are large: rows, whether there may be more.
function store.list_events(name, after, limit, type, subject)
  return page(events, name, after, limit, "type", type, "subject", subject)
end

--- Rows of the audit in the same way.
function store.list_audit(name, after, limit, actor, subject)
  return page(audit_rows, name, after, limit, "actor", actor, "subject", subject)
end

return store
