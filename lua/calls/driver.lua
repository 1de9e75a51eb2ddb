-- SPDX-License-Identifier: Apache-2.0
--- The calls of this worker: made from what Asterisk says, taken up from what a predecessor left, given on when a slot goes.
local audit = require "audit"
local Call = require "calls.call"
local clock = require "core.clock"
local config = require "core.config"
local crypto = require "core.crypto"
local db = require "lib.db"
local fault = require "core.fault"
local flow = require "flow"
local hook_rules = require "scripts.hooks.rules"
local hooks = require "scripts.hooks"
local journals = require "calls.journals"
local json = require "core.json"
local live = require "calls.live"
local log = require "core.log"
local lost = require "calls.lost"
local metrics = require "core.metrics"
local nodes = require "nodes"
local operator = require "scripts.operator"
local pii = require "lib.pii"
local promise = require "lib.promise"
local record = require "calls.record"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local rules = require "scripts.rules"
local scripts = require "scripts"
local store = require "calls.store"
local task = require "core.task"
local telephony = require "core.telephony"
local tenants = require "tenants"
local text_of = require "lib.text"
local time = require "lib.time"
local timer = require "core.timer"
local transfer = require "calls.transfer"
local trunks = require "calls.trunks"

local driver = {}

local LINGER_MS = 10000       -- the sound of a call that was given away goes on until the successor's is there, but no longer
local START_TRIES = 8         -- of a call whose row or record cannot be written, one each second
local ANSWER_MS = 300         -- in which an answer that the list has told of is told by its event
local NODE_DEAD_MS = 15000    -- a node that was not reached for so long has lost its calls
local SOFT_SHUTDOWN = 4       -- Asterisk's flag of a hang-up because it ends itself
local CAUSE_CONGESTION = 34   -- Q.850: no circuit available; the carrier sees 503
local CALLER_MAX = 32         -- bytes of a caller's name for itself that is no phone number

local by_id = {}        -- call id -> call
local of_tenant = {}    -- tenant id -> how many of them, and of those that are being made
local total = 0
local by_channel = {}   -- SIP channel id -> call, or a promise while it is being made
local slots = {}        -- slot name -> { calls = { [id] = call }, count, standing, boot, ready, node, commands }; standing: those whose record stands in Redis

local function slot_of(name)
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

local function enlist(call)
  local slot = slot_of(call.slot)
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
    if slot.giving then driver.flush(slot) end
  end
end

function driver.count() return total end

function driver.find(id) return by_id[id] end

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

--- When Redis comes back it may be empty, a replica that took over may lack the last writes, and it may be emptied while it
--- is there: calls are written again.
local function keep_watch()
  local seen, looking = redis.losses(), false
  timer.every(1000, function()
    if not redis.connected() then return end
    local losses, forgotten = redis.losses(), slots
    local back = losses ~= seen
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
  end)
end

local function new_id(slot_name)
  local node, number = slot_name:match("^(.-)%.(%d+)$")
  return ("c-%s-%s-%s"):format(node, number, crypto.b64url(crypto.random(15)):gsub("[-_]", "x"))
end

--- The slot's name in a call's public id.
function driver.slot_in(id)
  local node, number = tostring(id):match("^c%-(%w+)%-(%d+)%-%w+$")
  return node and node .. "." .. number
end

-- new calls ------------------------------------------------------------------------------------------------------------------

-- The operator's routing: for a call that has nothing of its tenant. Its flow is one of the tenant's, or of the operator's own.
local function by_operator(call, own)
  local picked, is_canary = scripts.pointers.pick(operator.tenant, call.id)
  local hash = hooks.version(operator.tenant, "routing", picked)
  local report = hash and scripts.report(operator.tenant, hash)
  if not report then return nil end
  local flows = {}
  for name in pairs(report.flows) do flows[name] = hash end
  for name in pairs(own and own.flows or {}) do flows[name] = call.hash end
  local route, _, failure = hooks.call(operator.tenant, "routing", hook_rules.routing_input(call, flows, call.tenant.slug), hash)
  call.route, call.file = route, route and route.flow
  call.operators = call.file ~= nil and flows[call.file] == hash or nil
  if not call.operators then scripts.count(operator.tenant, picked, failure, is_canary) end  -- else when the call fails or ends
  if not call.file then return nil end
  call.hash, call.canary = flows[call.file], call.operators and is_canary or nil
  if not call.operators then return own.flows[call.file] end
  call.permissions = report.bundle and report.bundle.permissions
  return report.flows[call.file]
end

-- What a new call runs: its file as it is declared, or nil, why not. What hooks decide is kept in the call's record: whoever
-- takes it up does not ask them again.
local function choose(call)
  local hash, is_canary = scripts.pointers.pick(call.tenant, call.id)
  local report = hash and scripts.report(call.tenant, hash)
  local number = call.direction == "inbound" and call.to or call.from or call.to
  call.hash, call.canary, call.file, call.route, call.operators = hash, is_canary or nil, call.flow_file, nil, nil
  if not call.file and report then
    call.route = hooks.call(call.tenant, "routing", hook_rules.routing_input(call, report.flows, call.tenant.slug), hash)
    call.file = call.route and call.route.flow or rules.flow_for(report.bundle, number)
  end
  call.permissions = report and report.bundle.permissions
  local declared
  if call.file then declared = report and report.flows[call.file] else declared = by_operator(call, report) end
  if declared then return declared end
  return nil, hash and call.flow_file and ("the live bundle has no flow '%s'"):format(call.flow_file)
    or hash and ("no flow is set for the number %s"):format(tostring(number)) or "no bundle is published"
end

--- Chooses version and flow of a new call, and begins. Without a flow the operator's fallback answers.
function driver.begin(call)
  -- The caller is there already: a database that is away for a moment is waited for.
  local ok, declared, why = db.patiently(function() return choose(call) end, function() return call.frozen or call.gone_why end)
  if call.frozen or call.over or call.gone_why then return end
  if not ok then why = "the flow could not be read: " .. tostring(declared) end
  if not ok or not declared then return call:failed(ok and "no_flow" or "away", why) end
  call:change{ flow = call.file, bundle_hash = call.hash }
  fault.point("call.flow_written")
  call:begin(declared.start)
end

--- @param transaction function|nil  transaction(fn): runs fn(tx) in one of the tenant's, or not at all
local function insert_row(call, transaction)
  local inserted
  lost.expect(call.tenant)
  local function write(tx)
    inserted = store.insert(tx, {
      public_id = call.id, direction = call.direction, phone_number = pii.seal(call.tenant, "call.phone_number", call.other),
      phone_hash = pii.hash(call.tenant, "phone", call.other), our_number = call.direction == "inbound" and call.to or call.from,
      start_time = time.sql(call.started_us), campaign_id = call.campaign_id, node = call.node, slot = call.slot, channel_id = call.channel,
      node_boot = call.boot, fence = call.fence, trace = call.trace, effect_key = call.effect_key, created_by = call.created_by,
    })
    fault.point("call.row_inserted")
    if inserted then
      audit.event(tx, { type = "call.started", subject = call.id, trace = call.trace, data = { direction = call.direction,
        phone = pii.tag(call.tenant, "phone", call.other) } })
    end
    return true
  end
  if transaction then transaction(write) else audit.transaction(call.tenant, write) end
  return inserted
end

--- Room for one more call of a tenant, taken until the function that is returned is called (once it counts by itself, or
--- comes to nothing); nil, why not.
local function take_room(tenant)
  if db.crowded(tenant.db) then return nil, "crowded" end
  if (of_tenant[tenant.id] or 0) >= config.limits.calls_per_tenant then return nil, "tenant_full" end
  count_tenant(tenant, 1)
  return function()
    if tenant then count_tenant(tenant, -1) end
    tenant = nil
  end
end

local function refuse(slot_name, channel, cause, why, detail)
  log.warn("call.refused", { slot = slot_name, why = why, endpoint = detail.endpoint, number = detail.number })
  metrics.count("calls_refused_total", { why = why }, 1, "calls that were not taken")
  telephony.request(slot_name, "DELETE", ("/channels/%s?reason_code=%d"):format(channel, cause))
end

--- A SIP channel without a record: a new call, or one whose start was lost.
local function start_inbound(slot_name, channel, try)
  local known = by_channel[channel.id]
  if known then return end  -- StasisStart and the list meet: once is enough
  local making = promise.new()
  by_channel[channel.id] = making
  local give_room = function() end
  local ok, err = pcall(function()
    local app_data = channel.dialplan and channel.dialplan.app_data or ""
    local endpoint = app_data:match("^[^,]*,([^,]*)")
    local exten = channel.dialplan and channel.dialplan.exten or ""
    local tenant, trunk, number = trunks.whose(endpoint or "", exten)
    if not tenant then
      by_channel[channel.id] = nil
      return refuse(slot_name, channel.id, 1, trunk, { endpoint = endpoint, number = exten })
    end
    local up = channel.state == "Up"  -- answered by a worker that is no more
    if not up then
      local room, why_not = take_room(tenant)
      if not room then
        by_channel[channel.id] = nil
        return refuse(slot_name, channel.id, CAUSE_CONGESTION, why_not, { endpoint = endpoint })
      end
      give_room = room
    end
    local at = telephony.slot(slot_name)
    if not at then by_channel[channel.id] = nil return end
    local caller = text_of.clean(channel.caller and channel.caller.number or "", CALLER_MAX)
    local from = trunks.parse(tenant, caller)
    local call = Call.new{
      id = new_id(slot_name), tenant = tenant, slot = slot_name, node = at.node, fence = at.fence, channel = channel.id, direction = "inbound",
      boot = slot_of(slot_name).boot or "?", from = from and from.e164 or (caller ~= "" and caller or nil), to = number,
      trunk_id = trunk.id, started_us = clock.wall_us(),
      trace = crypto.hex(crypto.random(16)), up = up, status = up and "connected" or nil, answered_us = up and clock.wall_us() or nil,
    }
    call.other = call.from
    local inserted = insert_row(call)
    fault.point("call.row_written")
    local still = telephony.slot(slot_name)
    if not still then by_channel[channel.id] = nil return end  -- the database took its time: the slot's new owner finds the channel
    call.fence = still.fence
    if inserted then
      call.row_id = inserted.id
    else
      -- Its row is there: a worker died between the row and the record.
      local row = store.by_channel(tenant.db, at.node, call.boot, channel.id)
      if row.end_time then by_channel[channel.id] = nil return refuse(slot_name, channel.id, 16, "ended_before", { endpoint = endpoint }) end
      call.id, call.row_id, call.started_us = row.public_id, row.id, time.us(row.start_time)
      if up and row.answer_time then call.answered_us = time.us(row.answer_time) end
      store.take(tenant.db, row.id, call.fence)
    end
    enlist(call)
    give_room()
    call:keep_head()
    fault.point("call.record_written")
    live.changed(tenant)
    metrics.count("calls_started_total", { direction = "inbound" }, 1, "calls that began")
    if making.left then return call:on_gone(unpack(making.left)) end
    driver.begin(call)
  end)
  give_room()
  if not ok then
    if by_channel[channel.id] == making then by_channel[channel.id] = nil end
    try = (try or 0) + 1
    local again = not making.left and try < START_TRIES
    if try == 1 or not again or not db.is_failure(err) then
      log[again and "warn" or "error"]("call.not_started", { slot = slot_name, channel = channel.id, try = try, text = tostring(err) })
    end
    if making.left then return end
    if not again then return telephony.request(slot_name, "DELETE", ("/channels/%s?reason_code=%d"):format(channel.id, CAUSE_CONGESTION)) end
    task.sleep(1000)
    if telephony.request(slot_name, "GET", "/channels/" .. channel.id) == 200 then return start_inbound(slot_name, channel, try) end
  end
end

-- The ring's end is told by ChannelDestroyed; should that be lost, the channel is looked up.
local function watch_ringing(call)
  task.sleep(50000)
  while by_id[call.id] == call and not call.up and not call.gone_why do
    if telephony.request(call.slot, "GET", "/channels/" .. call.channel) == 404 then
      call.hangup_by = call.hangup_by or "carrier"
      return call:on_gone("not answered", 19)
    end
    task.sleep(5000)
  end
end

--- Places a call. Returns the call's public id at once; what becomes of it is told by its row and events.
--- @param given table  to (text), campaign_id, flow, created_by, trace, transaction(write, id): runs write(tx) in a
---   transaction of the tenant, together with what is to be written with the call's row; when it does not run it, no call is placed
function driver.place(tenant, given)
  local slot_name, err = telephony.pick()
  if not slot_name then return nil, err end
  local at = telephony.slot(slot_name)
  local number = trunks.parse(tenant, given.to)
  local id = new_id(slot_name)
  local call = Call.new{
    id = id, tenant = tenant, slot = slot_name, node = at.node, fence = at.fence, channel = "pc-" .. id, direction = "outbound",
    boot = slot_of(slot_name).boot or "?", from = trunks.caller_id(tenant), to = number and number.e164 or given.to,
    started_us = clock.wall_us(), trace = given.trace,
    campaign_id = given.campaign_id, created_by = given.created_by,
  }
  call.other = call.to
  local give_room, why_not = take_room(tenant)
  if not give_room then
    return nil, { code = "limit", text = why_not == "crowded" and "too much is going on to begin another call"
      or ("this worker has %d calls of yours, and takes no more"):format(config.limits.calls_per_tenant) }
  end
  local ok, inserted = pcall(insert_row, call, given.transaction and function(write) given.transaction(write, id) end)
  if not ok or not inserted then give_room() end
  if not ok then error(inserted, 0) end
  if not inserted then return nil, { code = "exists", text = "the call has been placed before" } end
  call.row_id = inserted.id
  fault.point("call.placed")
  enlist(call)
  give_room()
  call:keep_head()
  fault.point("call.placed_record_written")
  live.changed(tenant)
  metrics.count("calls_started_total", { direction = "outbound" }, 1, "calls that began")
  task.spawn(function()
    local function fail(text, cause)
      call.failure, call.hangup_by = call.failure or text, call.hangup_by or "platform"
      call:on_gone("not reached", cause)
    end
    if not number or not number.possible then
      return fail(("%s is not a possible phone number"):format(given.to), 28)
    end
    local trunk, problem = trunks.outbound(tenant)
    if not trunk then return fail(problem.text, 27) end
    call.trunk_id, call.flow_file = trunk.id, given.flow
    call:keep_head()
    local status, body = telephony.request(slot_name, "POST", "/channels/" .. call.channel, {
      endpoint = ("PJSIP/%s@%s"):format(call.to, trunks.endpoint(trunk)), app = at.app, appArgs = "out," .. id,
      callerId = call.from, timeout = 45, formats = "ulaw,alaw",
    })
    fault.point("call.dialled")
    if status ~= 200 then
      if not status then telephony.request(slot_name, "DELETE", "/channels/" .. call.channel) end  -- it may ring all the same
      return fail("the call could not be dialled: " .. tostring(type(body) == "table" and (body.text or body.message) or status), 27)
    end
    watch_ringing(call)
  end)
  return id
end

-- events -------------------------------------------------------------------------------------------------------------------------

local function on_stasis_start(slot_name, event)
  local channel, args = event.channel, event.args or {}
  if args[1] == "leg" then
    local dial = transfer.dials[channel.id]
    if dial then dial:on_start() end
  elseif args[1] == "out" then
    local call = by_id[args[2] or ""]
    if call and not call.up then
      call:answered()
      driver.begin(call)
    end
  else
    start_inbound(slot_name, channel)
  end
end

local function on_left(event, why)
  local id = event.channel and event.channel.id
  local dial = transfer.dials[id]
  if dial then return dial:on_end(event.cause) end
  local call = by_channel[id]
  if call and call.on_gone then
    call:on_gone(why, event.cause or call.cause)
  elseif call then
    call.left = { why, event.cause }  -- it is being made: it hears then
  end
end

local handlers = {
  StasisStart = on_stasis_start,
  StasisEnd = function(_, event) on_left(event, "hung up") end,
  ChannelDestroyed = function(_, event)
    local call = by_channel[event.channel and event.channel.id]
    if call and call.direction == "outbound" and not call.up and call.on_gone then
      local causes = { [17] = "the other side is busy", [19] = "nobody answered", [21] = "the other side rejected the call",
        [34] = "the carrier has no line free", [1] = "the carrier does not know the number" }
      call.failure = call.failure or call.hangup_by and "the call was ended before it was answered"
        or causes[event.cause] or ("the call was not answered (cause %s)"):format(tostring(event.cause))
      call.hangup_by = call.hangup_by or "carrier"
    end
    on_left(event, "hung up")
  end,
  ChannelHangupRequest = function(_, event)
    local call = by_channel[event.channel and event.channel.id]
    if not (call and call.on_gone) then return end
    if event.soft then
      -- Its cause is no Q.850 cause then but a flag of Asterisk's own: who wants the channel gone.
      if event.cause == SOFT_SHUTDOWN then call:on_node_ended() end
    elseif event.cause and not call.cause_sent then
      call.cause = event.cause
    end
  end,
  ChannelDtmfReceived = function(_, event)
    local call = by_channel[event.channel and event.channel.id]
    if call and call.on_digit then call:on_digit(event.digit) end
  end,
}

local function on_event(slot_name, event)
  local handle = handlers[event.type]
  if not handle then return end
  local early = slot_of(slot_name).early
  if early then early[#early + 1] = event else handle(slot_name, event) end
end

-- What was said of calls while they were being taken up.
local function hear_early(slot)
  local early = slot.early or {}
  slot.early = nil
  for _, event in ipairs(early) do task.spawn(on_event, slot.name, event) end
end

-- taking up --------------------------------------------------------------------------------------------------------------------------

local function take_up(slot, at, id, channels)
  local read, err = record.read(slot.name, id, function(tenant_id) return tenants.get(tenant_id) end)
  if by_id[id] then return by_id[id] end  -- the slot was dialled in again meanwhile, and that look was quicker
  if not read then
    if err and err.code ~= "denied" and err.code ~= "not_found" then error(err.text, 0) end  -- Redis: the next look reads it
    if err then
      log.error("call.not_read", { call = id, text = err.text })
    else
      record.forget(slot.name, id)
    end
    return nil
  end
  if not read.fields.head then
    record.remove(slot.name, id, at.fence)
    return nil
  end
  local call = Call.restore(at, at.fence, read)
  local present = channels[call.channel]
  call.other = call.direction == "inbound" and call.from or call.to
  enlist(call)
  local kept = call:keep_head()
  fault.point("call.taken_up")
  -- Whatever is written of the call carries the fence too, so a database that is away does not keep a call from going on.
  task.spawn(function()
    local ok, problem = pcall(store.take, call.tenant.db, call.row_id, call.fence)
    if not ok then log.warn("call.row_not_taken", { call = id, text = tostring(problem) }) end
  end)
  log.info("call.taken_up", { call = id, slot = slot.name, state = call.state, visit = call.visit, channel = present and present.state or "gone" })
  metrics.count("calls_taken_up_total", nil, 1, "calls taken up from another worker")
  task.spawn(function()
    if not present then
      -- Its end may have been written by a worker that died, or lost Redis, before the record went.
      local read_row, row = pcall(store.by_public_id, call.tenant.db, call.id)
      if read_row and row and row.end_time then return call:forget() end
      if call.boot ~= slot_of(slot.name).boot then call:on_node_ended() end
      call.hangup_by = call.hangup_by or (call.up or call.direction == "inbound") and "caller" or "carrier"
      if call.ending then
        call.gone_why = "gone meanwhile"
        call.ending = true
        return flow.resume(call)
      end
      return call:on_gone("gone meanwhile")
    end
    if present.state == "Up" and call.direction == "outbound" and not call.up then
      call:answered()
      return driver.begin(call)
    end
    if call.direction == "outbound" and not call.up then return watch_ringing(call) end
    -- Sound first: each millisecond without it is silence in somebody's ear.
    if call.up then call:sound() end
    if call.fallen then
      call.fallen_task = nil
      if call.dial and call.dial.leg_id ~= call.id .. "-fallback" then call.dial = nil end  -- it was being left
      return call:fall(call.status == "escalated" and "escalated" or nil)
    end
    if call.visit == 0 then return driver.begin(call) end
    flow.resume(call)
  end)
  return call, kept
end

-- Our own bridges and media channels that belong to no call are cleared away.
local function sweep(slot, channels, bridges)
  local living = {}
  for _, call in pairs(slot.calls) do
    living[#living + 1] = call.id .. ".a"
    for leg_id in pairs(call.legs) do living[#living + 1] = leg_id end
    if call.dial then living[#living + 1] = call.dial.leg_id end
  end
  telephony.sweep(slot.name, channels, bridges, living)
end

-- The StasisStart that tells of an answer may be lost with a connection, or with one that was deaf: who is up in the list
-- and not here is waited for a moment longer, and then taken for answered.
local function look_for_answers(slot, present)
  local function is_up(channel) return present[channel] and present[channel].state == "Up" end
  for _, call in pairs(slot.calls) do
    if call.direction == "outbound" and not call.up and is_up(call.channel) then
      task.spawn(function()
        task.sleep(ANSWER_MS)
        if by_id[call.id] ~= call or call.up or call.gone_why or call.frozen then return end
        log.info("call.answer_not_heard", { call = call.id })
        call:answered()
        driver.begin(call)
      end)
    end
    for _, dial in pairs(call.legs) do
      if not dial.answered and is_up(dial.channel) then
        task.spawn(function()
          task.sleep(ANSWER_MS)
          if not dial.answered and not dial.ended then dial:on_start() end
        end)
      end
    end
  end
end

local function reconcile(slot_name, first, predecessor, channels, bridges)
  local slot = slot_of(slot_name)
  local at = telephony.slot(slot_name)
  if not at then return end
  slot.giving, slot.ready, slot.away = nil, true, nil
  if first then
    local _, info = telephony.request(slot_name, "GET", "/asterisk/info")
    slot.boot = info and info.status and info.status.startup_time or slot.boot or "?"
    if not slot.commands then
      slot.commands = redis.subscribe(rediskey("slot:", slot_name), function(text) driver.command(text) end)
    end
    task.spawn(nodes.connected, slot_name)
    task.spawn(trunks.reconcile, slot_name)
  end
  local present = {}
  for _, channel in ipairs(channels) do present[channel.id] = channel end

  -- Calls we have already: their fence may be a new one, their channel may have gone unheard.
  for _, call in pairs(slot.calls) do
    call.fence = at.fence
    if not present[call.channel] and (call.up or call.direction == "inbound") and not call.gone_why then
      -- The list may be older than the call: only its own answer decides.
      task.spawn(function()
        if telephony.request(slot_name, "GET", "/channels/" .. call.channel) == 404 then
          if call.boot ~= slot.boot then call:on_node_ended() end
          call:on_gone("gone unheard")
        end
      end)
    end
  end
  look_for_answers(slot, present)
  local ids, err = record.list(slot_name)
  if not ids then
    if not slot.unread then log.warn("slot.records_not_read", { slot = slot_name, text = err.text }) end
    slot.unread = true
  else
    slot.unread = nil
    local written = {}
    for _, id in ipairs(ids) do written[id] = true end
    for id, call in pairs(slot.calls) do
      if not written[id] then task.spawn(call.keep_all, call) end  -- Redis came back empty
    end
    for _, id in ipairs(ids) do
      if not by_id[id] and not record.is_due(id) then
        local ok, problem = pcall(take_up, slot, at, id, present)
        if not ok then
          log.error("call.not_taken_up", { call = id, text = tostring(problem) })
          ids = nil  -- which channels are whose is not known then; the next look at the slot tries again
          break
        end
      end
    end
  end
  if first then hear_early(slot) end
  -- SIP channels that nobody knows: calls whose start was lost.
  if ids then
    for _, channel in ipairs(channels) do
      local name = channel.name or ""
      if name:match("^PJSIP/") and not by_channel[channel.id] and not channel.id:match("^p[cm]%-") then
        task.spawn(start_inbound, slot_name, channel)
      elseif channel.id:match("^pc%-") and not by_channel[channel.id] and not transfer.dials[channel.id] and not first then
        telephony.request(slot_name, "DELETE", "/channels/" .. channel.id)  -- a second party whose call has ended
      end
    end
    -- A new owner gives those it has just taken up or begun again a moment to be known.
    task.spawn(function()
      if first then task.sleep(2000) end
      local now = telephony.slot(slot_name)
      if now and now.fence == at.fence then sweep(slot, channels, bridges) end
    end)
  end
  local tell = first and log.info or log.debug -- a listing is made every half minute
  tell("slot.ready", { slot = slot_name, first = first, predecessor = predecessor, calls = slot.count, channels = #channels })
end

local function on_ready(slot_name, first, ...)
  local slot = slot_of(slot_name)
  if first then slot.early = slot.early or {} end  -- a key pressed now belongs to a call that is not known yet
  local ok, problem = pcall(reconcile, slot_name, first, ...)
  if first then hear_early(slot) end
  if not ok then error(problem, 0) end
end

-- A socket comes back by itself, and calls stay ours. A node that cannot be reached for long is taken for dead: nobody hears
-- anything on its calls any more. Without Redis nothing can be dialled in, so that is no sign of the node's death.
local function watch_away(slot)
  local away = {}
  slot.away = away
  task.spawn(function()
    local left_ms = NODE_DEAD_MS
    while left_ms > 0 do
      task.sleep(1000)
      if slot.away ~= away then return end
      if redis.connected() then left_ms = left_ms - 1000 end
    end
    slot.away = nil
    local calls = {}
    for _, call in pairs(slot.calls) do calls[#calls + 1] = call end
    if #calls > 0 then log.warn("slot.given_up", { slot = slot.name, calls = #calls, text = "its node has not been reached for long" }) end
    for _, call in ipairs(calls) do
      call:on_node_ended()
      call:on_gone("the node is not reached")
    end
  end)
end

local function on_lost(slot_name, why)
  local slot = slot_of(slot_name)
  slot.ready = false
  if why == "disconnected" then return watch_away(slot) end
  slot.away = nil
  slot.early = nil
  if slot.commands then
    slot.commands:close()
    slot.commands = nil
  end
  local calls = {}
  for _, call in pairs(slot.calls) do calls[#calls + 1] = call end
  slot.giving = nil
  -- A planned hand-over is make-before-break: our sound ends when the successor's is there.
  for _, call in ipairs(calls) do call:lost(why == "given" and LINGER_MS or nil) end
  log.info("slot.lost", { slot = slot_name, why = why, calls = #calls })
end

--- Planned hand-over: every call ends its step; when all are written the successor may begin.
function driver.flush(slot)
  if slot.flushing then return end
  slot.flushing = true
  task.spawn(function()
    for _, call in pairs(slot.calls) do
      call:freeze()
    end
    task.sleep(0)
    for _, call in pairs(slot.calls) do
      if call.recorder then task.spawn(call.recorder.close, call.recorder, nil) end  -- its row may wait, the successor does not
      if not call.stale then
        local ok, err = pcall(call.keep_all, call)
        if not ok then log.error("call.record_not_written", { call = call.id, text = tostring(err) }) end  -- the other calls' are still
      end
    end
    telephony.flushed(slot.name)
    slot.flushing = nil
  end)
end

local function on_giving(slot_name)
  local slot = slot_of(slot_name)
  slot.giving = true
  driver.flush(slot)
end

-- commands from other workers ------------------------------------------------------------------------------------------------------

--- { id =, what = "escalate", reply = channel } on the slot's channel; the owner acts and answers.
function driver.command(text)
  local command = json.decode(text)
  if type(command) ~= "table" then return end
  local call = by_id[command.id or ""]
  if not call then return end
  local ok, err
  if command.what == "escalate" then
    ok, err = call:escalate()
  elseif command.what == "hangup" then
    ok, err = call:hangup(16, "agent")
  end
  if command.reply then
    redis.call("PUBLISH", command.reply, json.encode{ ok = ok and true or false, code = err and err.code, text = err and err.text })
  end
end

--- Asks the owner of a call to do something. Returns true | nil, err.
function driver.tell(id, what)
  local call = by_id[id]
  if call then
    if what == "escalate" then return call:escalate() end
    return call:hangup(16, "agent")
  end
  local slot_name = driver.slot_in(id)
  if not slot_name then return nil, { code = "not_found", text = "there is no such call" } end
  local reply = rediskey("reply:", crypto.hex(crypto.random(8)))
  local answer = promise.new()
  local subscription = redis.subscribe(reply, function(text) answer:give(json.decode(text)) end)
  task.sleep(20)  -- the subscription is on its way first
  redis.call("PUBLISH", rediskey("slot:", slot_name), json.encode{ id = id, what = what, reply = reply })
  task.spawn(function()
    task.sleep(3000)
    answer:give(nil)
  end)
  local result = answer:wait()
  subscription:close()
  if not result then return nil, { code = "timeout", text = "the worker that has the call did not answer" } end
  if not result.ok then return nil, { code = result.code or "failed", text = result.text or "it could not be done" } end
  return true
end

--- Registers with the core. Called once at start, before the first event can come.
function driver.start()
  keep_watch()
  lost.start(driver.find)
  journals.start()
  telephony.serve{ on_ready = on_ready, on_lost = on_lost, on_giving = on_giving, on_event = on_event }
  trunks.listen(function()
    local found = {}
    for name, slot in pairs(slots) do
      if slot.ready and telephony.slot(name) then found[slot.node] = found[slot.node] or name end
    end
    return found
  end)
end

return driver
