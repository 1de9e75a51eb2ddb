-- SPDX-License-Identifier: Apache-2.0
--- Brings the platform schema and the tenants' schemas to the newest migration.
--- MySQL cannot roll back a CREATE TABLE, so progress is kept statement by statement: `begun` is written before a
--- statement and `done` after it. After a crash the run goes on at the statement after `done`; that one may have taken
--- effect already, which its error then tells. A named lock keeps two runs over one schema apart; it needs a connection
--- of its own besides those that work, so the pool must have two.
local crypto = require "core.crypto"
local db = require "lib.db"
local process = require "core.process"
local rules = require "lib.migrate.rules"
local store = require "lib.migrate.store"
local task = require "core.task"

local migrate = {}

migrate.root = "schema"
local LOCK_WAIT_S = 10  -- less than a statement may take
local LOCK_TRIES = 30

--- The migrations of a folder ("platform" or "tenant"), sorted. Raises a line that names the file.
function migrate.files(folder)
  local path = migrate.root .. "/" .. folder
  local listing, err = process.run{ argv = { "/bin/ls", "-1", path }, timeout_s = 10, output_limit = 1048576 }
  if not listing then error(("cannot list %s: %s"):format(path, err.text), 0) end
  if listing.status ~= 0 then error(("cannot list %s: %s"):format(path, (listing.errors:gsub("%s+$", ""))), 0) end
  local files, numbers = {}, {}
  for name in listing.output:gmatch("[^\n]+") do
    local number = name:match("^(%d%d%d%d)_[%w_]+%.sql$")
    if not number then error(("%s/%s: a migration is named like 0001_what_it_does.sql"):format(path, name), 0) end
    if numbers[number] then error(("%s/%s has the same number as %s"):format(path, name, numbers[number]), 0) end
    numbers[number] = name
    local file = assert(io.open(path .. "/" .. name, "rb"))
    local text = file:read("*a")
    file:close()
    local statements, message = rules.statements(text)
    if not statements then error(("%s/%s: %s"):format(path, name, message), 0) end
    files[#files + 1] = { name = name, hash = crypto.hex(crypto.sha256(text)), statements = statements }
  end
  table.sort(files, function(a, b) return a.name < b.name end)
  return files
end

local function run_statement(name, file, index, begun)
  local statement = file.statements[index]
  if rules.is_transactional(statement) then
    store.run_noted(name, statement, file.name, index)
    return
  end
  local begun_before = begun >= index
  if not begun_before then store.begin(name, file.name, index) end
  local done, err = store.run(name, statement)
  if not done and not rules.happened_already(err.number, begun_before) then
    error(("%s, statement %d (%s...): %s"):format(file.name, index, statement:sub(1, 60):gsub("%s+", " "), err.text), 0)
  end
  store.done(name, file.name, index)
end

local function pending(name, files)
  local list, message = rules.to_run(files, store.applied(name) or {})
  if not list then error(("schema %s: %s"):format(name, message), 0) end
  return list
end

local function bring_up(name, files, progress, still_mine)
  store.create_bookkeeping(name)
  for _, item in ipairs(pending(name, files)) do
    local file = item.file
    if item.from == 1 and item.begun == 0 and not (store.applied(name) or {})[file.name] then
      store.start(name, file.name, file.hash, #file.statements)
    end
    for index = item.from, #file.statements do
      if not still_mine() then error(("schema %s: the migration lock was lost; run it again"):format(name), 0) end
      run_statement(name, file, index, item.begun)
    end
    progress(name, file.name)
  end
end

-- One at a time in a worker: each holds a connection for its lock while it needs another one to work.
local busy = false

local function in_turn(fn)
  while busy do task.sleep(20) end
  busy = true
  local ok, err = pcall(fn)
  busy = false
  if not ok then error(err, 0) end
end

--- Brings one schema up. Does nothing, at the price of one query, when it is up.
--- @param server string  "" or "name/"
--- @param schema_name string
--- @param files table  from migrate.files
--- @param progress function|nil  progress(schema, file) after each file
function migrate.schema(server, schema_name, files, progress)
  local name = server .. schema_name
  local applied = store.applied(name)
  if applied and #pending(name, files) == 0 then return end
  store.create_schema(server, schema_name)
  local got = false
  in_turn(function()
    for _ = 1, LOCK_TRIES do
      got = got or store.locked("parley.migrate." .. schema_name, LOCK_WAIT_S, function(still_mine)
        bring_up(name, files, progress or function() end, still_mine)
      end)
    end
  end)
  if got then return end
  error(("schema %s is being migrated by somebody else for more than %d s"):format(name, LOCK_WAIT_S * LOCK_TRIES), 0)
end

--- Brings the platform schema up, making it when it is not there.
function migrate.platform(progress)
  migrate.schema("", db.platform(), migrate.files("platform"), progress)
end

return migrate
