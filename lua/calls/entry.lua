-- SPDX-License-Identifier: Apache-2.0
--- How a call becomes this worker's own: a channel that rings, or a number that is dialled, is given its row, its record and its flow.
local audit = require "audit"
local Call = require "calls.call"
local clock = require "core.clock"
local config = require "core.config"
local crypto = require "core.crypto"
local db = require "lib.db"
local fault = require "core.fault"
local hook_rules = require "scripts.hooks.rules"
local hooks = require "scripts.hooks"
local live = require "calls.live"
local log = require "core.log"
local lost = require "calls.lost"
local metrics = require "core.metrics"
local operator = require "scripts.operator"
local pii = require "lib.pii"
local promise = require "lib.promise"
local roster = require "calls.roster"
local rules = require "scripts.rules"
local scripts = require "scripts"
local store = require "calls.store"
local task = require "core.task"
local telephony = require "core.telephony"
local text_of = require "lib.text"
local time = require "lib.time"
local trunks = require "calls.trunks"

local entry = {}

local START_TRIES = 8         -- of a call whose row or record cannot be written, one each second
local CAUSE_CONGESTION = 34   -- Q.850: no circuit available; the carrier sees 503
local CALLER_MAX = 32         -- bytes of a caller's name for itself that is no phone number

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
  local hook_failed, _
  call.hash, call.canary, call.file, call.route, call.operators = hash, is_canary or nil, call.flow_file, nil, nil
  if not call.file and report then
    call.route, _, hook_failed = hooks.call(call.tenant, "routing", hook_rules.routing_input(call, report.flows, call.tenant.slug), hash)
    call.file = call.route and call.route.flow or rules.flow_for(report.bundle, number)
  end
  call.permissions = report and report.bundle.permissions
  local declared
  if call.file then declared = report and report.flows[call.file] else declared = by_operator(call, report) end
  if call.operators then  -- whose version the call counts for
    if hook_failed then scripts.count(call.tenant, hash, hook_failed, is_canary) end
  else
    call.hook_failed = hook_failed
  end
  if declared then return declared end
  return nil, hash and call.flow_file and ("the live bundle has no flow '%s'"):format(call.flow_file)
    or hash and ("no flow is set for the number %s"):format(tostring(number)) or "no bundle is published"
end

--- Chooses version and flow of a new call, and begins. Without a flow the operator's fallback answers.
function entry.begin(call)
  -- The caller is there already: a database that is away for a moment is waited for.
  local function is_left() return call.frozen or call.over or call.gone_why end
  local ok, declared, why = db.patiently(function() return choose(call) end, is_left)
  if is_left() then return end
  if not ok then why = "the flow could not be read: " .. tostring(declared) end
  if not ok or not declared then return call:failed(ok and "no_flow" or "away", why) end
  call:change{ flow = call.file, bundle_hash = call.hash }
  fault.point("call.flow_written")
  -- Whose caller went while that was written has been ended, and a flow that began behind its end would find nobody.
  if not is_left() then call:begin(declared.start) end
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

local function refuse(slot_name, channel, cause, why, detail)
  log.warn("call.refused", { slot = slot_name, why = why, endpoint = detail.endpoint, number = detail.number })
  metrics.count("calls_refused_total", { why = why }, 1, "calls that were not taken")
  telephony.request(slot_name, "DELETE", ("/channels/%s?reason_code=%d"):format(channel, cause))
end

--- A SIP channel without a record: a new call, or one whose start was lost.
function entry.inbound(slot_name, channel, try)
  local known = roster.by_channel[channel.id]
  if known then return end  -- StasisStart and the list meet: once is enough
  local making = promise.new()
  roster.by_channel[channel.id] = making
  local give_room = function() end
  local ok, err = pcall(function()
    local app_data = channel.dialplan and channel.dialplan.app_data or ""
    local endpoint = app_data:match("^[^,]*,([^,]*)")
    local exten = channel.dialplan and channel.dialplan.exten or ""
    local tenant, trunk, number = trunks.whose(endpoint or "", exten)
    if not tenant then
      roster.by_channel[channel.id] = nil
      return refuse(slot_name, channel.id, 1, trunk, { endpoint = endpoint, number = exten })
    end
    local up = channel.state == "Up"  -- answered by a worker that is no more
    if not up then
      local room, why_not = roster.take_room(tenant)
      if not room then
        roster.by_channel[channel.id] = nil
        return refuse(slot_name, channel.id, CAUSE_CONGESTION, why_not, { endpoint = endpoint })
      end
      give_room = room
    end
    local at = telephony.slot(slot_name)
    if not at then roster.by_channel[channel.id] = nil return end
    local caller = text_of.clean(channel.caller and channel.caller.number or "", CALLER_MAX)
    local from = trunks.parse(tenant, caller)
    local call = Call.new{
      id = roster.new_id(slot_name), tenant = tenant, slot = slot_name, node = at.node, fence = at.fence, channel = channel.id, direction = "inbound",
      boot = roster.slot(slot_name).boot or "?", from = from and from.e164 or (caller ~= "" and caller or nil), to = number,
      trunk_id = trunk.id, started_us = clock.wall_us(),
      trace = crypto.hex(crypto.random(16)), up = up, status = up and "connected" or nil, answered_us = up and clock.wall_us() or nil,
    }
    call.other = call.from
    local inserted = insert_row(call)
    fault.point("call.row_written")
    local still = telephony.slot(slot_name)
    if not still then roster.by_channel[channel.id] = nil return end  -- the database took its time: the slot's new owner finds the channel
    call.fence = still.fence
    if inserted then
      call.row_id = inserted.id
    else
      -- Its row is there: a worker died between the row and the record.
      local row = store.by_channel(tenant.db, at.node, call.boot, channel.id)
      if row.end_time then roster.by_channel[channel.id] = nil return refuse(slot_name, channel.id, 16, "ended_before", { endpoint = endpoint }) end
      call.id, call.row_id, call.started_us = row.public_id, row.id, time.us(row.start_time)
      if up and row.answer_time then call.answered_us = time.us(row.answer_time) end
      store.take(tenant.db, row.id, call.fence)
    end
    roster.enlist(call)
    give_room()
    call:keep_head()
    fault.point("call.record_written")
    live.changed(tenant)
    metrics.count("calls_started_total", { direction = "inbound" }, 1, "calls that began")
    if making.left then return call:on_gone(unpack(making.left)) end
    entry.begin(call)
  end)
  give_room()
  if not ok then
    -- It stays taken until it is begun again: who else found it in the list would count its tries from one.
    local function leave()
      if roster.by_channel[channel.id] == making then roster.by_channel[channel.id] = nil end
    end
    try = (try or 0) + 1
    local again = not making.left and try < START_TRIES
    if try == 1 or not again or not db.is_failure(err) then
      log[again and "warn" or "error"]("call.not_started", { slot = slot_name, channel = channel.id, try = try, text = tostring(err) })
    end
    if making.left then return leave() end
    if not again then
      telephony.request(slot_name, "DELETE", ("/channels/%s?reason_code=%d"):format(channel.id, CAUSE_CONGESTION))
      return leave()
    end
    task.sleep(1000)
    local gone = telephony.request(slot_name, "GET", "/channels/" .. channel.id) == 404 or not telephony.slot(slot_name)
    leave()
    if not gone and not making.left then return entry.inbound(slot_name, channel, try) end
  end
end

--- Waits for the end of a ring. It is told by ChannelDestroyed; should that be lost, the channel is looked up.
function entry.watch_ringing(call)
  task.sleep(50000)
  while roster.find(call.id) == call and not call.up and not call.gone_why do
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
function entry.place(tenant, given)
  local slot_name, err = telephony.pick()
  if not slot_name then return nil, err end
  local at = telephony.slot(slot_name)
  local number = trunks.parse(tenant, given.to)
  local id = roster.new_id(slot_name)
  local call = Call.new{
    id = id, tenant = tenant, slot = slot_name, node = at.node, fence = at.fence, channel = "pc-" .. id, direction = "outbound",
    boot = roster.slot(slot_name).boot or "?", from = trunks.caller_id(tenant), to = number and number.e164 or given.to,
    started_us = clock.wall_us(), trace = given.trace,
    campaign_id = given.campaign_id, created_by = given.created_by,
  }
  call.other = call.to
  local give_room, why_not = roster.take_room(tenant)
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
  roster.enlist(call)
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
    entry.watch_ringing(call)
  end)
  return id
end

return entry
