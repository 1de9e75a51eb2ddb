-- SPDX-License-Identifier: Apache-2.0
--- core.sql for store.lua files: failures are raised, NULL is nil on both sides (a column that is NULL is absent from its row).
--- A raised failure ends in the router as 503 when the database is away or busy and as 500 otherwise;
--- inside a transaction it rolls back, and a deadlock runs the function again (so it must not act outside).
local clock = require "core.clock"
local config = require "core.config"
local replica = require "lib.replica"
local sql = require "core.sql"
local task = require "core.task"

local db = {}

local PATIENCE_MS = 20000
local PAUSE_MS = 300

local Failure = {}
Failure.__index = Failure
Failure.__tostring = function(self) return ("sql: %s (%s %s)"):format(self.text, self.code, tostring(self.number)) end

--- Is this raised value a failure of the database? It then has code, text and number.
function db.is_failure(value)
  return getmetatable(value) == Failure
end

local away = { closed = true, busy = true, limit = true, timeout = true }

--- Runs fn, and while the database is away again and again for some seconds. For what must come to pass and carries a key,
--- so that doing it twice does it once. Returns as pcall does.
--- @param unless function  asked before each further try: true and it is given up
function db.patiently(fn, unless)
  local ends = clock.mono_ms() + PATIENCE_MS
  while true do
    local ok, result, more = pcall(fn)
    if ok or not (db.is_failure(result) and away[result.code]) or clock.mono_ms() > ends then return ok, result, more end
    task.sleep(PAUSE_MS)
    if unless() then return false, result end
  end
end

--- Raises what db.try or db.attempt gave back and the caller does not know better: the router tells a database that is away by its code.
function db.fail(err)
  error(setmetatable({ code = err.code, text = err.text, number = err.number }, Failure), 0)
end
local fail = db.fail

--- Name of the platform schema.
function db.platform()
  return config.sql.schema
end

--- The same schema for a read that may be some seconds old: db.query asks a replica then, and the server itself when there is
--- none that can answer.
function db.lagging(name) return "~" .. name end

local function ask_replica(name, text, ...)
  local server, schema = name:match("^(.-)/(.*)$")
  local found = replica.pick(server or "main")
  if not found then return nil end
  local result, err = sql.query(found.name .. "/" .. (schema or name), text, ...)
  if not result then replica.failed(found, err) end
  return result
end

--- @param name string  schema, or "server/schema", or db.lagging of one
--- @return table  rows, each without its columns that are NULL; or { affected =, insert_id = }
function db.query(name, text, ...)
  if name:byte(1) == 126 then
    name = name:sub(2)
    local result = ask_replica(name, text, ...)
    if result then return result end
  end
  local result, err = sql.query(name, text, ...)
  if not result then fail(err) end
  return result
end

--- The same, but the world's failure comes back: rows | nil, err. For "exists" and the like.
function db.try(name, text, ...)
  return sql.query(name, text, ...)
end

--- Runs a statement in a transaction: tx is the value that db.transaction or core.sql.transaction hands over.
function db.run(tx, text, ...)
  local result, err = db.attempt(tx, text, ...)
  if not result then fail(err) end
  return result
end

--- The same: rows | nil, err. After most errors MySQL keeps the transaction, so "exists" may be handled.
function db.attempt(tx, text, ...)
  local result, err = tx:query(text, ...)
  if not result then
    if err.code == "busy" or err.code == "closed" then fail(err) end
    return nil, err
  end
  return result
end

--- On a transaction when there is one, else on any connection. Whoever is in a transaction must ask by it: one that waits
--- for a second connection while it holds the first can stop the whole pool.
--- @param target table|string  tx or schema
function db.on(target, text, ...)
  if type(target) == "string" then return db.query(target, text, ...) end
  return db.run(target, text, ...)
end

--- Commits when fn returns, rolls back when it raises. Returns what fn returns (up to four values).
function db.transaction(name, fn)
  local results, err = sql.transaction(name, function(tx)
    local ok, a, b, c, d = pcall(fn, tx)
    if ok then return { a, b, c, d } end
    -- A deadlock goes back as nil, err: that is what makes core.sql run the function again.
    if db.is_failure(a) then return nil, { code = a.code, text = a.text, number = a.number } end
    error(a, 0)
  end)
  if not results then fail(err) end
  return results[1], results[2], results[3], results[4]
end

--- Whether so many statements wait for a connection that what can be turned away should be: what is under way comes first.
function db.crowded(name) return sql.waiting(name) > config.limits.statements_waiting end

--- "?, ?, ?" for a list of that many values.
function db.marks(count)
  return (("?, "):rep(count):gsub(", $", ""))
end

--- Many rows as one parameter: text for FROM, whose one "?" takes json.encode of a list of lists (json.null for NULL, bytes as hex).
--- The values of a list stand in the order of columns ("name TYPE", types as wide as what may come: what is too large is for the table to
--- refuse that it is written to).
function db.rows(name, columns)
  local parts = {}
  for i, column in ipairs(columns) do parts[i] = ("%s PATH '$[%d]' ERROR ON ERROR"):format(column, i - 1) end
  return ("JSON_TABLE(?, '$[*]' COLUMNS (%s)) AS %s"):format(table.concat(parts, ", "), name)
end

return db
