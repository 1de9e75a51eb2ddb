-- SPDX-License-Identifier: Apache-2.0
--- What waits in this worker's memory to be written, noted in a file of its own: when the worker is killed, another writes it.
---
---   local note = remains.note(kind, tenant, value)     noted when this returns; value: what JSON knows, with nothing that may not be in a file
---   remains.settled(note)                              it is written where it belongs, or needs nobody any more
---   remains.define(kind, again)                        again(tenant, value) writes a dead worker's; it may be there already, and raises when
---                                                      the database is away
---
--- Files lie in run_dir/remains. A file whose notes are all settled is emptied, or removed where it was full; so a note that is settled may be
--- written again, and one that is not never goes. Whoever sees first that a file's owner is gone takes it (core.remains); what cannot be written
--- now stays for the next look. The disk is not waited for: a host that loses its power loses what was noted.
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

local folder = config.run_dir and config.run_dir .. "/remains"
local kinds = {}
local current  -- { file, open = notes that are not settled, bytes }
local count, told_ms, looking, looker = 0, nil, false, nil

local function not_noted(err)
  local now = clock.mono_ms()
  if told_ms and now - told_ms < TELL_MS then return end
  told_ms = now
  log.warn("remains.not_noted", { text = err.text })
end

local function open_file()
  if current or not folder then return current end
  count = count + 1
  local owner = worker.owner ~= "" and worker.owner or "program-" .. crypto.hex(crypto.random(6))
  local made, err = core.create(folder, ("%s.%d"):format(owner:gsub("[^%w._-]", "-"):sub(-80), count))
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

-- Writes one note: false when it must be tried again.
local function write(line, tenant_of)
  local kept = json.decode(line)  -- nil: the last one was cut off, and nobody was told that it stands
  local again = type(kept) == "table" and kinds[kept[1]]
  if not again then return true end
  local ok, err = pcall(function()
    local tenant = tenant_of(kept[2])
    if not tenant or tenant.status == "closed" then return end
    again(tenant, kept[3])
    metrics.count("remains_written_total", { kind = kept[1] }, 1, "what a worker that died had not written, written by another")
  end)
  if ok then return true end
  if db.is_failure(err) and err.code ~= "invalid" then return false end
  log.error("remains.not_written", { kind = kept[1], tenant = kept[2], text = tostring(err) })
  return true
end

local function take(name, tenant_of)
  local taken = core.take(folder, name)
  if not taken then return end  -- its owner lives, or another was quicker
  local bytes, err = taken:read()
  if not bytes then
    log.error("remains.not_read", { file = name, text = err.text })
    return taken:leave()
  end
  local lines = 0
  for line in bytes:gmatch("[^\n]+") do
    if not write(line, tenant_of) then return taken:leave() end
    lines = lines + 1
  end
  fault.point("remains.written")
  taken:remove()
  if lines > 0 then log.info("remains.taken", { file = name, notes = lines }) end
end

--- Looks once for files of the dead. May wait.
function remains.look(tenant_of)
  if looking or not folder then return end
  looking = true
  local ok, err = pcall(function()
    for _, name in ipairs(file.list(folder) or {}) do
      if not name:find("%.new$") then take(name, tenant_of) end
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
