-- SPDX-License-Identifier: Apache-2.0
--- Which calls this worker has: found by id and channel, counted by slot and tenant, room for more, and whether Redis still has them.
local config = require "core.config"
local crypto = require "core.crypto"
local db = require "lib.db"
local metrics = require "core.metrics"
local record = require "calls.record"
local redis = require "core.redis"
local task = require "core.task"
local telephony = require "core.telephony"
local timer = require "core.timer"

local roster = {}

--- SIP channel id -> call, or a promise while it is being made.
roster.by_channel = {}

--- slot name -> { name, node, calls = { [id] = call }, count, standing = those whose record stands in Redis }, and what the driver
--- knows of it; with giving, a function, each call that leaves is told to it.
roster.slots = {}

local by_id = {}        -- call id -> call
local of_tenant = {}    -- tenant id -> how many of them, and of those that are being made
local total = 0
local by_channel, slots = roster.by_channel, roster.slots

--- The slot of that name, made when it is asked for first.
function roster.slot(name)
  local slot = slots[name]
  if not slot then
    slot = { name = name, calls = {}, count = 0, standing = {}, node = name:match("^(.-)%.") }
    slots[name] = slot
  end
  return slot
end

local function count_tenant(tenant, change)
  local now = (of_tenant[tenant.id] or 0) + change
  of_tenant[tenant.id] = now > 0 and now or nil
end

-- One more, or one less, of a slot and its tenant.
local function tell_count(slot, tenant, change)
  slot.count, total = slot.count + change, total + change
  count_tenant(tenant, change)
  telephony.set_calls(slot.name, slot.count)
  metrics.gauge("calls_active", nil, total, "calls this worker has")
end

--- The call is this worker's from now on, until it has ended or is another's.
function roster.enlist(call)
  local slot = roster.slot(call.slot)
  by_id[call.id], by_channel[call.channel] = call, call
  slot.calls[call.id] = call
  tell_count(slot, call.tenant, 1)
  call.on_stands = function(stands)
    if by_id[call.id] == call then slot.standing[call.id] = stands and call or nil end
  end
  call.on_removed = function()
    if by_id[call.id] ~= call then return end
    by_id[call.id], slot.standing[call.id] = nil, nil
    if by_channel[call.channel] == call then by_channel[call.channel] = nil end
    slot.calls[call.id] = nil
    tell_count(slot, call.tenant, -1)
    if slot.giving then slot.giving() end
  end
end

--- How many there are.
function roster.count() return total end

function roster.find(id) return by_id[id] end

-- Has Redis lost what was written? One call stands for all of its slot: they lie on one server, and whoever empties that
-- empties it whole; in a cluster other slots may lie on others. Returns the names of those that were lost.
local function forgotten_slots()
  local stand, names = {}, {}
  for name, slot in pairs(slots) do
    local _, call = next(slot.standing)
    if call and telephony.slot(name) then stand[name] = call end
  end
  for name, call in pairs(stand) do
    local there = record.exists(name, call.id)
    -- nil: that slot's part is away; when it is back all are written.
    if there == false and slots[name].standing[call.id] then names[name] = true end
  end
  return names
end

local seen, looking = nil, false

--- One look. When Redis comes back it may be empty, a replica that took over may lack the last writes, and it may be emptied
--- while it is there: calls are written again.
function roster.look()
  if not redis.connected() then return end
  local losses, forgotten = redis.losses(), slots
  local back = losses ~= (seen or losses)
  seen = losses
  if not back then
    if looking then return end  -- the last look still waits for answers
    looking = true
    local ok, found = pcall(forgotten_slots)
    looking = false
    if not ok then error(found, 0) end
    forgotten = found
  end
  for name in pairs(forgotten) do
    for _, call in pairs(slots[name].calls) do task.spawn(call.keep_all, call) end
  end
end

--- Looks every second from now on.
function roster.watch()
  seen = redis.losses()
  timer.every(1000, roster.look)
end

--- Room for one more call of a tenant, taken until the function that is returned is called (once it counts by itself, or
--- comes to nothing); nil, why not.
function roster.take_room(tenant)
  if db.crowded(tenant.db) then return nil, "crowded" end
  if (of_tenant[tenant.id] or 0) >= config.limits.calls_per_tenant then return nil, "tenant_full" end
  count_tenant(tenant, 1)
  return function()
    if tenant then count_tenant(tenant, -1) end
    tenant = nil
  end
end

--- A public id for a new call of a slot.
function roster.new_id(slot_name)
  local node, number = slot_name:match("^(.-)%.(%d+)$")
  return ("c-%s-%s-%s"):format(node, number, crypto.b64url(crypto.random(15)):gsub("[-_]", "x"))
end

--- The slot's name in a call's public id.
function roster.slot_in(id)
  local node, number = tostring(id):match("^c%-(%w+)%-(%d+)%-%w+$")
  return node and node .. "." .. number
end

return roster
