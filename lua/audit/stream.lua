-- SPDX-License-Identifier: Apache-2.0
--- /ws: a tenant's events as they happen. One hub per tenant and worker: one subscription, many clients.
---
---   open -> { "type": "snapshot", "seq": n, "tenant": ..., parts of other domains }
---   then durable events, each once and in order from n+1 (or from ?after=), and live ones ("type": "live").
---   ?channels=scripts adds the script log's lines as they are written, for admins and supervisors.
---
--- Durable events come by Redis publish and are checked for gaps by their numbers; what is missing, and all that is while
--- Redis is away, is read from the `event` table. A client that does not read costs nothing more than what already waits for
--- it: it falls behind, and when it has taken that, the events it missed are read for it from its last seq on, a page at a
--- time. Live events are left out for a slow one; when it has caught up it is sent another snapshot, which repairs them.
local audit_store = require "audit.store"
local json = require "core.json"
local log = require "core.log"
local pii = require "lib.pii"
local problem = require "lib.problem"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local router = require "lib.router"
local scopes = require "lib.scopes"
local sequencer = require "audit.sequencer"
local task = require "core.task"
local timer = require "core.timer"

local stream = {}

local SLOW_BYTES = 512 * 1024
local LIVE_BYTES = 64 * 1024
local PAGE = 200
local CHECK_MS = 1000
local CLIENTS_PER_TENANT = 500

-- What a client may ask to hear beside the events. It may hold personal values, so it is published sealed.
local channels = { scripts = { scope = "scripts:read", roles = { admin = true, supervisor = true } } }

local hubs = {}   -- tenant slug -> hub
local parts = {}  -- name -> { scope =, fn = function(tenant) -> value }

--- Adds a part to the snapshot: stream.snapshot_part("calls", "calls:read", function(tenant) return list end). May wait.
--- @param scope string  what an API key needs to be shown it; without it the part is left out
function stream.snapshot_part(name, scope, fn)
  parts[name] = { scope = scope, fn = fn }
end

-- A hub's count is of all its clients; those in hub.clients are up to it, the others are behind or still joining.
local function client_gone(hub, client)
  if not client.counted then return end
  client.counted = false
  hub.clients[client] = nil
  hub.count = hub.count - 1
end

-- What is not sent is read again when the client has taken what waits for it (resume).
local function send(hub, client, text)
  if client.ws:queued() > SLOW_BYTES or not client.ws:send(text) then
    hub.clients[client] = nil
    client.behind = true
    return false
  end
  return true
end

-- Hands an event to all who are up to the one before it.
local function fan_out(hub, seq, text)
  hub.seq = seq
  for client in pairs(hub.clients) do
    if client.seq == seq - 1 and send(hub, client, text) then client.seq = seq end
  end
end

-- Reads what the hub has missed. Only one at a time; what comes meanwhile is a gap for the next round.
local function catch_up(hub)
  if hub.reading then return end
  hub.reading = true
  local ok, err = pcall(function()
    repeat
      local rows, more = audit_store.list_events(hub.tenant.db, hub.seq, PAGE)
      for _, row in ipairs(rows) do
        if row.seq == hub.seq + 1 then fan_out(hub, row.seq, sequencer.event_json(hub.tenant, row)) end
      end
    until not more
  end)
  hub.reading = false
  if not ok and not hub.unread then log.warn("stream.cannot_read", { tenant = hub.tenant.slug, error = tostring(err) }) end
  hub.unread = not ok
end

local function on_batch(hub, message)
  local first, rest = message:match("^(%d+)\n(.*)$")
  local seq = tonumber(first)
  if not seq then return end
  for text in rest:gmatch("[^\n]+") do
    if seq == hub.seq + 1 then
      fan_out(hub, seq, text)
    elseif seq > hub.seq + 1 then
      return catch_up(hub)
    end
    seq = seq + 1
  end
end

local function on_live(hub, message)
  for client in pairs(hub.clients) do
    if client.ws:queued() >= LIVE_BYTES or not client.ws:send(message) then
      client.missed_live, client.behind = true, true
    end
  end
end

local function channel_key(tenant, channel) return rediskey("channel:", tenant.slug, ":", channel) end

local function on_channel(hub, channel, message)
  local ok, texts = pcall(pii.open, hub.tenant, "channel." .. channel, message)
  if not ok then return end  -- of a tenant of this name that is no more, or not ours
  for client in pairs(hub.clients) do
    if client.channels[channel] then
      for text in texts:gmatch("[^\n]+") do
        if client.ws:queued() >= LIVE_BYTES or not client.ws:send(text) then
          client.missed_live, client.behind = true, true
          break
        end
      end
    end
  end
end

-- Nobody pays for a channel that nobody hears.
local function hear_channels(hub, client)
  for channel in pairs(client.channels) do
    hub.channels[channel] = hub.channels[channel]
      or redis.subscribe(channel_key(hub.tenant, channel), function(message) on_channel(hub, channel, message) end)
  end
end

--- Tells who hears a channel. messages: list of tables; each is sent as { type = "live", channel =, ... }.
function stream.tell(tenant, channel, messages)
  assert(channels[channel], "channel " .. channel)
  local texts = {}
  for i, message in ipairs(messages) do
    message.type, message.channel = "live", channel
    texts[i] = json.encode(message)
  end
  return redis.call("PUBLISH", channel_key(tenant, channel), pii.seal(tenant, "channel." .. channel, table.concat(texts, "\n")))
end

local function close_hub(hub)
  hubs[hub.tenant.slug] = nil
  for _, subscription in pairs(hub.channels) do subscription:close() end
  hub.events:close()
  hub.live:close()
  hub.timer:cancel()
end

-- Each second: a hub nobody looks at goes; a lost publish is noticed.
local function check(hub)
  if hub.count == 0 then
    hub.idle = hub.idle + 1
    if hub.idle > 30 then close_hub(hub) end
    return
  end
  hub.idle = 0
  hub.ticks = hub.ticks + 1
  if not redis.connected() or hub.ticks % 10 == 1 then catch_up(hub) end
end

local function open_hub(tenant)
  local hub = { tenant = tenant, clients = {}, count = 0, idle = 0, ticks = 0, channels = {} }
  hub.events = redis.subscribe(rediskey("events:", tenant.slug), function(message) on_batch(hub, message) end)
  hub.live = redis.subscribe(rediskey("live:", tenant.slug), function(message) on_live(hub, message) end)
  hub.seq = math.huge  -- nothing is handed out until we know where we are
  hubs[tenant.slug] = hub
  hub.timer = timer.every(CHECK_MS, function() check(hub) end)
  local ok, newest = pcall(audit_store.newest, tenant.db)
  if not ok then
    close_hub(hub)
    error(newest, 0)
  end
  hub.seq = newest.seq
  return hub
end

local function hub_of(tenant)
  local hub = hubs[tenant.slug]
  if not hub then return open_hub(tenant) end
  while hub.seq == math.huge and hubs[tenant.slug] == hub do task.sleep(5) end  -- another client opens it right now
  if hubs[tenant.slug] ~= hub then error("the events of tenant " .. tenant.slug .. " cannot be read", 0) end
  return hub
end

-- Sends what lies between the client's cursor and the hub, a page at a time, never faster than the client reads. Ends in
-- the moment in which both are equal, with the client in hub.clients, or with the client behind: its draining goes on here.
local function replay(hub, client)
  client.behind = false
  while client.open do
    if client.seq == hub.seq then
      hub.clients[client] = true
      return
    end
    local rows = audit_store.list_events(hub.tenant.db, client.seq, PAGE)
    if #rows == 0 and client.seq > hub.seq then error("the events end before " .. client.seq, 0) end
    for _, row in ipairs(rows) do
      if not client.open then return end
      if client.ws:queued() > LIVE_BYTES or not client.ws:send(sequencer.event_json(hub.tenant, row)) then
        client.behind = true
        if client.ws:queued() > 0 then return end
        error("event " .. row.seq .. " is too large to be sent", 0)
      end
      client.seq = row.seq
    end
    if #rows == 0 or client.seq > hub.seq then catch_up(hub) end
  end
end

local function snapshot(hub, client)
  local message = { type = "snapshot", tenant = hub.tenant.slug, seq = hub.seq, user = { id = client.user.id, role = client.user.role } }
  for name, part in pairs(parts) do
    local allowed = scopes.allow(client.user, part.scope)
    local ok, value = true, nil
    if allowed then ok, value = pcall(part.fn, hub.tenant, client.user) end
    if ok then
      message[name] = value
    else
      log.error("stream.snapshot_part_failed", { part = name, tenant = hub.tenant.slug, error = tostring(value) })
    end
  end
  return message
end

local function failed(client, slug, err)
  log.warn("stream.cannot_open", { tenant = slug, error = tostring(err) })
  client.open = false
  client.ws:close(1013, "not available right now; try again in a few seconds")
end

-- The client has taken all that waited for it. Only one at a time; it may fall behind again meanwhile.
local function resume(client)
  local hub = client.hub
  if not hub or not client.behind or client.resuming then return end
  client.resuming = true
  local ok, err = pcall(function()
    repeat
      if client.missed_live then
        client.missed_live = false
        local message = snapshot(hub, client)
        message.seq = client.seq
        if client.open and not client.ws:send(json.encode(message)) then client.missed_live = true end
      end
      if hub.clients[client] then
        client.behind = false
      else
        replay(hub, client)
      end
    until not client.open or not client.behind or client.ws:queued() > 0
  end)
  client.resuming = false
  if not ok and client.open then failed(client, hub.tenant.slug, err) end
end

local function join(client, slug, after)
  local tenant = router.tenant(slug)
  if not tenant then return client.ws:close(4403, "the tenant is not active") end
  local hub = hub_of(tenant)
  if hub.count >= CLIENTS_PER_TENANT then return client.ws:close(1013, "too many connections of this tenant; try again later") end
  local message = snapshot(hub, client)
  if after and after > hub.seq then
    catch_up(hub)  -- the cursor may be of another worker that is ahead of this one
    if after > hub.seq then return client.ws:close(4400, "after is beyond the newest event") end
  end
  client.seq = after or message.seq
  if not client.ws:send(json.encode(message)) then return end
  if not client.open then return end
  client.hub, client.counted = hub, true  -- the hub stays for it, however long it takes to catch up
  hub.count = hub.count + 1
  hear_channels(hub, client)
  client.behind = true
  resume(client)
end

local function opened(client, slug, after)
  local ok, err = pcall(join, client, slug, after)
  if not ok then failed(client, slug, err) end
end

-- The channels that ?channels= names, each allowed to this user.
local function channels_of(ctx)
  local wanted = {}
  for name in (ctx.query.channels or ""):gmatch("[^,]+") do
    local channel = channels[name]
    if not channel then problem.raise(400, "no_such_channel", "channels may name: scripts.") end
    if not channel.roles[ctx.user.role] then problem.raise(403, "role_not_allowed", "The channel scripts needs the role admin or supervisor.") end
    if not scopes.allow(ctx.user, channel.scope) then
      problem.raise(403, "scope_missing", ("This API key lacks the scope %s. Make a key that has it."):format(channel.scope))
    end
    wanted[name] = true
  end
  return wanted
end

--- A new connection's handler. Called in the upgrade, so it does not wait.
function stream.open(ctx)
  local after = ctx.query.after and tonumber(ctx.query.after:match("^%d+$") and ctx.query.after or nil)
  if ctx.query.after and (not after or after > 2 ^ 53) then
    problem.raise(400, "bad_cursor", "after must be the seq of an event: a whole number.")
  end
  local client = { user = ctx.user, open = true, seq = after or 0, channels = channels_of(ctx) }
  return {
    on_open = function(ws)
      client.ws = ws
      opened(client, ctx.slug, after)
    end,
    on_message = function(ws, text)
      if text:find('"ping"', 1, true) and ws:queued() < LIVE_BYTES then ws:send('{"type":"pong"}') end
    end,
    on_drain = function() resume(client) end,
    on_close = function()
      client.open = false
      if client.hub then client_gone(client.hub, client) end
    end,
  }
end

--- Connections of this worker, for /ready and metrics.
function stream.clients()
  local count = 0
  for _, hub in pairs(hubs) do count = count + hub.count end
  return count
end

return stream
