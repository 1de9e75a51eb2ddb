-- SPDX-License-Identifier: Apache-2.0
--- The list of a tenant's active calls, for /ws/calls: the full list, at most once a second and only when it changed,
--- built once per tenant and worker for all its clients. A change anywhere is a Redis publish; the rows are the truth.
--- A client that has not taken its last list yet is left out until it has, and then gets the newest.
local clock = require "core.clock"
local ids = require "lib.ids"
local json = require "core.json"
local pii = require "lib.pii"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local store = require "calls.store"
local task = require "core.task"
local time = require "lib.time"
local timer = require "core.timer"

local live = {}

local MOST = 500
local LEAST_MS = 1000     -- between two lists
local CLIENTS = 500       -- of one tenant and worker
local REFRESH_MS = 15000  -- also without a change: a publish may be lost

local rooms = {}          -- tenant slug -> { clients, newcomers, count, text, mark, at, dirty, building, subscription, timer }

local function channel(tenant) return rediskey("calls:", tenant.slug) end

--- A call of the tenant changed. Never fails, never waits.
function live.changed(tenant)
  task.spawn(redis.call, "PUBLISH", channel(tenant), "1")
end

local function clock_text(seconds)
  seconds = math.max(0, math.floor(seconds))
  return ("%02d:%02d:%02d"):format(seconds / 3600, seconds / 60 % 60, seconds % 60)
end

local function build(tenant)
  local rows = store.active(tenant.db, MOST)
  local now = clock.wall_us()
  local list = json.array{}
  for i, row in ipairs(rows) do
    local since = time.us(row.answer_time or row.start_time)
    list[i] = {
      id = row.public_id, status = row.status, direction = row.direction, state = row.state,
      duration = clock_text((now - since) / 1e6), since = time.rfc3339(row.answer_time or row.start_time),
      agent = row.agent_id and (pii.open(tenant, "user.name", row.agent_name) or ids.encode("us", row.agent_id)) or "",
      from = row.direction == "inbound" and pii.open(tenant, "call.phone_number", row.phone_number) or row.our_number,
      to = row.direction == "inbound" and row.our_number or pii.open(tenant, "call.phone_number", row.phone_number),
    }
  end
  local count = #rows < MOST and #rows or store.active_count(tenant.db)
  -- What the durations would say is left out of the comparison: only a change of the calls is a change.
  local parts = {}
  for i, item in ipairs(list) do parts[i] = item.id .. item.status .. (item.state or "") .. item.agent end
  return { calls = list, count = count }, table.concat(parts, "\n") .. count
end

-- Each list is whole, so a slow client misses nothing by not getting those in between; but the last one it must have.
local function send(client, text)
  if client.ws:queued() > 0 then
    client.behind = true
  elseif not client.ws:send(text) then
    client.ws:close(1013, "too slow; connect again")
  end
end

-- To all when it is another list, else to those who have had none yet.
local function hand_out(room, mark)
  local to = mark ~= room.mark and room.clients or room.newcomers
  room.mark, room.newcomers = mark, {}
  for client in pairs(to) do send(client, room.text) end
end

local function rebuild(tenant, room)
  if room.building then
    room.dirty = true
    return
  end
  room.building = true
  local ok, err = pcall(function()
    repeat
      local wait = room.at and LEAST_MS - (clock.mono_ms() - room.at) or 0
      if wait > 0 then task.sleep(wait) end
      room.dirty = false
      local list, mark = build(tenant)
      room.at, room.text = clock.mono_ms(), json.encode(list)
      hand_out(room, mark)
    until not room.dirty
  end)
  room.building = false
  if not ok then require("core.log").warn("live.not_built", { tenant = tenant.slug, text = tostring(err) }) end
end

local function room_of(slug, tenant)
  local room = rooms[slug]
  if not room then
    room = { clients = {}, newcomers = {}, count = 0 }
    rooms[slug] = room
    room.subscription = redis.subscribe(channel(tenant), function() rebuild(tenant, room) end)
    room.timer = timer.every(REFRESH_MS, function() rebuild(tenant, room) end)
  end
  return room
end

--- A handler for a WebSocket of the tenant. find() gives the tenant's record; it may wait, so it is asked at opening.
function live.handler(slug, find)
  local client = {}
  function client.on_open(ws)
    client.ws = ws
    local tenant = find(slug)
    if not tenant or client.closed then return ws:close(1008, "this tenant is not active") end
    local room = room_of(slug, tenant)
    if room.count >= CLIENTS then return ws:close(1013, "too many connections of this tenant; try again later") end
    client.room = room
    room.clients[client] = true
    room.count = room.count + 1
    if room.text and clock.mono_ms() - room.at < LEAST_MS then return send(client, room.text) end
    room.newcomers[client] = true
    rebuild(tenant, room)
  end
  function client.on_drain()
    if not client.behind or not client.room then return end
    client.behind = false
    send(client, client.room.text)
  end
  function client.on_close()
    client.closed = true
    local room = client.room
    if not room then return end
    client.room = nil
    room.clients[client], room.newcomers[client] = nil, nil
    room.count = room.count - 1
    if room.count == 0 and rooms[slug] == room then
      rooms[slug] = nil
      room.subscription:close()
      room.timer:cancel()
    end
  end
  return client
end

return live
