-- SPDX-License-Identifier: Apache-2.0
--- What is written of a call: its record in Redis, for whoever takes it up, and its row.
--- A part of calls.call: methods of a call.
local audit = require "audit"
local db = require "lib.db"
local fault = require "core.fault"
local fences = require "calls.fence"
local journal = require "flow.journal"
local live = require "calls.live"
local log = require "core.log"
local promise = require "lib.promise"
local record = require "calls.record"
local store = require "calls.store"
local task = require "core.task"

local written = {}

local unwritten_told = false  -- that records cannot be written is told of the first call, until one can

--- What a successor needs, as JSON.
local kept_fields = { "id", "channel", "direction", "from", "to", "trunk_id", "row_id", "started_us", "answered_us", "status", "hash", "file", "permissions",
  "state", "visit", "data", "strikes", "seed", "ending", "why", "fallen", "failing", "first_failure", "error_text", "recording", "hangup_by",
  "outcome", "lead", "trace", "states", "node", "boot", "up", "failure", "dial", "flow_file", "route", "canary", "operators", "counted",
  "hook_failed", "announced", "pausing", "card_near", "card_parts", "taken_up" }

function written:head()
  local head = {}
  for _, name in ipairs(kept_fields) do head[name] = self[name] end
  return head
end

-- Whether all of it stands in Redis, as far as is known here.
function written:stands(stands)
  if self.on_stands then self.on_stands(stands and not self.removed) end
end

--- Writes to the record, and what its history and its turns' figures have new. While Redis is away the call goes on and is written whole when it is back.
function written:keep(fields, drop)
  if self.stale then return nil, { code = "stale", text = "another worker owns the call" } end
  if self.removed then return true end
  fields, drop = self.history:unwritten(fields, drop)
  if self.figures_new then fields.figures, self.figures_new = self.figures, nil end
  local ok, err = record.write(self.tenant, self.slot, self.id, self.fence, fields, drop)
  if ok then
    unwritten_told = false
    if not self.unwritten then self:stands(true) end
    return true
  end
  if err.code == "ended" then return true end  -- its removal was quicker
  if err.code == "stale" then
    self:lost()
    return nil, err
  end
  if not self.unwritten then
    self.unwritten = true
    self:stands(false)
    if not unwritten_told then log.warn("call.record_not_written", { call = self.id, text = err.text }) end
    unwritten_told = true
    task.spawn(function()
      while self.unwritten and not self.removed and not self.stale do
        task.sleep(500)
        self:keep_all()
      end
    end)
  end
  return nil, err
end

function written:keep_all()
  if self.removed or self.stale then return end
  local fields = { head = self:head() }
  self:keep_keys(fields)
  for n, entry in ipairs(self.journal.entries) do fields[("j%d.%d"):format(self.visit, n)] = journal.kept(entry) end
  self.history:all(fields)
  fields.figures = self.figures
  local ok, err = record.write_all(self.tenant, self.slot, self.id, self.fence, fields, self.visit)
  if ok then
    self.unwritten, unwritten_told = nil, false
    self:stands(true)
  elseif err.code == "stale" then
    self:lost()
  elseif err.code == "ended" then
    self.unwritten = nil  -- its removal was quicker
  end
end

function written:keep_head() return self:keep{ head = self:head() } end

--- Changes the row, with an event of the change, after the changes that were asked for before.
--- Returns true; false when another worker owns the call; nil when the database is away; nil, "refused" when it will never take this.
--- @param unless function|nil  asked when its turn has come: true and nothing is written
--- @param also function|nil    also(tx): what is written with it, last
function written:change(fields, event, unless, also)
  local before, mine = self.last_change, promise.new()
  self.last_change = mine
  if before then before:wait() end
  local result, why = true, nil
  if not (unless and unless()) then result, why = self:write_change(fields, event, also) end
  mine:give(true)
  return result, why
end

function written:write_change(fields, event, also)
  local ok, mine = pcall(audit.transaction, self.tenant, function(tx)
    if not store.update(tx, self.row_id, self.fence, fields) then return false end
    fault.point("call.row_changed")
    if event then
      audit.event(tx, { type = event.type, subject = self.id, data = event.data, trace = self.trace })
    end
    if also then also(tx) end
    return true
  end)
  if not ok then
    local refused = not (db.is_failure(mine) and mine.code ~= "invalid")
    if refused or not self.row_unwritten then log.warn("call.row_not_written", { call = self.id, text = tostring(mine) }) end
    self.row_unwritten = true
    return nil, refused and "refused" or nil
  end
  self.row_unwritten = nil
  if mine == false then
    fences.refused("row", self.slot, self.id, self.fence)
    self:lost()
  else
    fences.passed("row", self.slot, self.id, self.fence)
  end
  live.changed(self.tenant)
  return mine
end

return written
