-- SPDX-License-Identifier: Apache-2.0
--- What waits in this worker's memory to be written, noted in a file of its own: when the worker is killed, another writes it.
---
---   local note = remains.note(kind, tenant, value)     noted when this returns; value: what JSON knows, with nothing that may not be in a file
---   remains.settled(note)                              it is written where it belongs, or needs nobody any more
---   remains.define(kind, again)                        again(tenant, value) writes a dead worker's; it may be there already, and raises when
---                                                      the database is away
---
--- Files lie in run_dir/remains. A file whose notes are all settled is emptied, or removed where it was full; so a note that is settled may be
--- written again, and one that is not never goes. Whoever sees first that a file's owner is gone takes it (core.remains). What cannot be written
--- now stays, and only that: because a database is away, or its schema, or because a newer worker noted it and this one does not know its kind.
--- Such a file is looked at less and less often. The disk is not waited for: a host that loses its power loses what was noted.
local clock = require "core.clock"
local config = require "core.config"
local core = require "core.remains"
local crypto = require "core.crypto"
local db = require "lib.db"
local fault = require "core.fault"
local file = require "core.file"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local task = require "core.task"
local timer = require "core.timer"
local worker = require "core.worker"

local remains = {}

local FULL_BYTES = 1024 * 1024
local LOOK_MS, TELL_MS = 1000, 60000
local AGAIN_MOST_MS = 15000  -- between two looks at a file of which something stays

-- Of its files' names: no other process has it, or had it, for such a file would take the place of theirs. Programs of the command line share an
-- owner's name.
local prefix = ("%s-%s"):format(worker.owner:gsub("[^%w._-]", "-"):sub(-80), crypto.hex(crypto.random(6))):gsub("^%W+", "")

local folder = config.run_dir and config.run_dir .. "/remains"
local kinds = {}
local current  -- { file, open = notes that are not settled, bytes }
local count, told_ms, looking, looker = 0, nil, false, nil
local waits = {}  -- name of a file of which something stays -> { ms = how long it waits, until_ms }

-- A failure that the tenant's next note would meet too, and perhaps as slowly.
local AWAY = { closed = true, timeout = true, denied = true, not_found = true, io = true }

local function not_noted(err)
  local now = clock.mono_ms()
  if told_ms and now - told_ms < TELL_MS then return end
  told_ms = now
  log.warn("remains.not_noted", { text = err.text })
end

local function new_name()
  count = count + 1
  return ("%s.%d"):format(prefix, count)
end

local function open_file()
  if current or not folder then return current end
  local made, err = core.create(folder, new_name())
  if not made then return not_noted(err) end
  current = { file = made, open = 0, bytes = 0 }
  return current
end

--- See above. Never fails: nil when it could not be noted, which is in the log.
function remains.note(kind, tenant, value)
  local own = open_file()
  if not own then return nil end
  local fits, line = pcall(json.encode, { kind, tenant.id, value })
  if not fits then return not_noted{ text = tostring(line) } end
  line = line .. "\n"
  local ok, err = own.file:add(line)
  if not ok then return not_noted(err) end
  own.open, own.bytes = own.open + 1, own.bytes + #line
  if own.bytes >= FULL_BYTES then current = nil end
  return { of = own }
end

--- See above. nil, and one that is settled, are nothing.
function remains.settled(note)
  local own = note and note.of
  if not own then return end
  note.of = nil
  own.open = own.open - 1
  if own.open > 0 then return end
  if own ~= current then return own.file:remove() end
  own.file:clear()
  own.bytes = 0
end

--- See above.
function remains.define(kind, again) kinds[kind] = again end

-- Writes one note. true: it needs nobody any more; false, why: not now. away: ids of tenants whose database this look has found to be away.
local function write(line, tenant_of, away)
  local kept = json.decode(line)  -- nil: the last one was cut off, and nobody was told that it stands
  if type(kept) ~= "table" then return true end
  local kind, id = kept[1], kept[2]
  local again = kinds[kind]
  if not again then return false, "it is of a kind that is not known here: " .. tostring(kind) end
  if away[id] then return false, away[id] end
  local ok, err = pcall(function()
    local tenant = tenant_of(id)
    if not tenant or tenant.status == "closed" then return end
    again(tenant, kept[3])
    metrics.count("remains_written_total", { kind = kind }, 1, "what a worker that died had not written, written by another")
  end)
  if ok then return true end
  if not db.is_failure(err) or err.code == "invalid" then
    log.error("remains.not_written", { kind = kind, tenant = id, text = tostring(err) })
    return true
  end
  if AWAY[err.code] and id then away[id] = tostring(err) end
  return false, tostring(err)
end

-- What stays, in a file of its own that is nobody's: its name, or nil and the file that all is in stays as it is.
local function leave_only(left)
  local name = new_name()
  local rest, err = core.create(folder, name)
  if not rest then return nil, err end
  local ok
  ok, err = rest:add(table.concat(left, "\n") .. "\n")
  if not ok then
    rest:remove()
    return nil, err
  end
  rest:leave()
  return name
end

local function wait(name, ms) waits[name] = { ms = ms, until_ms = clock.mono_ms() + ms } end

local function take(name, tenant_of, away)
  local taken = core.take(folder, name)
  if not taken then return end  -- its owner lives, or another was quicker
  local waited = waits[name]
  waits[name] = nil
  local bytes, err = taken:read()
  if not bytes then
    if not waited then log.error("remains.not_read", { file = name, text = err.text }) end
    wait(name, AGAIN_MOST_MS)
    return taken:leave()
  end
  local lines, left, why = 0, {}, nil
  for line in bytes:gmatch("[^\n]+") do
    lines = lines + 1
    local done, failure = write(line, tenant_of, away)
    if not done then
      left[#left + 1] = line
      why = why or failure
    end
  end
  fault.point("remains.written")
  if #left > 0 and not waited then log.warn("remains.waiting", { file = name, notes = #left, text = why }) end
  if #left > 0 and #left == lines then
    wait(name, waited and math.min(waited.ms * 2, AGAIN_MOST_MS) or LOOK_MS)
    return taken:leave()
  end
  if #left > 0 then
    local rest
    rest, err = leave_only(left)
    wait(rest or name, LOOK_MS)
    if not rest then
      log.warn("remains.not_parted", { file = name, text = err.text })
      return taken:leave()
    end
  end
  taken:remove()  -- not before what stays stands elsewhere: what is written twice is there once
  if lines > #left then log.info("remains.taken", { file = name, notes = lines - #left }) end
end

--- Looks once for files of the dead. May wait.
function remains.look(tenant_of)
  if looking or not folder then return end
  looking = true
  local ok, err = pcall(function()
    local away, there = {}, file.list(folder) or {}
    local old = waits
    waits = {}  -- without those of files that are gone
    for _, name in ipairs(there) do waits[name] = old[name] end
    for _, name in ipairs(there) do
      local due = not waits[name] or waits[name].until_ms <= clock.mono_ms()
      if due and not name:find("%.new$") then take(name, tenant_of, away) end
    end
  end)
  looking = false
  if not ok then log.error("remains.broke", { text = tostring(err) }) end
end

--- Looks every second from now on.
--- @param tenant_of fun(id: number): table|nil
function remains.start(tenant_of)
  looker = looker or timer.every(LOOK_MS, function() task.spawn(remains.look, tenant_of) end)
end

return remains
