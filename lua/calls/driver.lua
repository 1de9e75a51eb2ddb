-- SPDX-License-Identifier: Apache-2.0
--- The calls of this worker's slots: what Asterisk tells of them, taken up from what a predecessor left, given on when a slot goes.
local Call = require "calls.call"
local crypto = require "core.crypto"
local entry = require "calls.entry"
local fault = require "core.fault"
local flow = require "flow"
local journals = require "calls.journals"
local json = require "core.json"
local keeping = require "calls.keeping"
local log = require "core.log"
local lost = require "calls.lost"
local metrics = require "core.metrics"
local nodes = require "nodes"
local promise = require "lib.promise"
local record = require "calls.record"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local roster = require "calls.roster"
local store = require "calls.store"
local task = require "core.task"
local telephony = require "core.telephony"
local tenants = require "tenants"
local transcript = require "calls.transcript"
local transfer = require "calls.transfer"
local trunks = require "calls.trunks"

local driver = {}

local LINGER_MS = 10000       -- the sound of a call that was given away goes on until the successor's is there, but no longer
local SAID_MS = 500           -- so long a hand-over waits for the last lines of its calls' transcripts
local ANSWER_MS = 300         -- in which an answer that the list has told of is told by its event
local NODE_DEAD_MS = 15000    -- a node that was not reached for so long has lost its calls
local SOFT_SHUTDOWN = 4       -- Asterisk's flag of a hang-up because it ends itself

-- events -------------------------------------------------------------------------------------------------------------------------

local function on_stasis_start(slot_name, event)
  local channel, args = event.channel, event.args or {}
  if args[1] == "leg" then
    local dial = transfer.dials[channel.id]
    if dial then dial:on_start() end
  elseif args[1] == "out" then
    local call = roster.find(args[2] or "")
    if call and not call.up then
      call:answered()
      entry.begin(call)
    end
  else
    entry.inbound(slot_name, channel)
  end
end

local function on_left(event, why)
  local id = event.channel and event.channel.id
  local dial = transfer.dials[id]
  if dial then return dial:on_end(event.cause) end
  local call = roster.by_channel[id]
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
    local call = roster.by_channel[event.channel and event.channel.id]
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
    local call = roster.by_channel[event.channel and event.channel.id]
    if not (call and call.on_gone) then return end
    if event.soft then
      -- Its cause is no Q.850 cause then but a flag of Asterisk's own: who wants the channel gone.
      if event.cause == SOFT_SHUTDOWN then call:on_node_ended() end
    elseif event.cause and not call.cause_sent then
      call.cause = event.cause
    end
  end,
  ChannelDtmfReceived = function(_, event)
    local call = roster.by_channel[event.channel and event.channel.id]
    if not (call and call.on_digit) then return end
    if call.leg then call.leg:pressed() end  -- first: what follows waits for the record
    call:on_digit(event.digit, event.duration_ms)
  end,
}

local function on_event(slot_name, event)
  local handle = handlers[event.type]
  if not handle then return end
  local early = roster.slot(slot_name).early
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
  if roster.find(id) then return roster.find(id) end  -- the slot was dialled in again meanwhile, and that look was quicker
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
    record.clear(slot.name, id, at.fence)  -- not for ever: where its channel lives, the call begins again under the same id
    return nil
  end
  local call = Call.restore(at, at.fence, read)
  local present = channels[call.channel]
  call.other = call.direction == "inbound" and call.from or call.to
  roster.enlist(call)
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
      if call.boot ~= roster.slot(slot.name).boot then call:on_node_ended() end
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
      return entry.begin(call)
    end
    if call.direction == "outbound" and not call.up then return entry.watch_ringing(call) end
    -- Sound first: each millisecond without it is silence in somebody's ear.
    if call.up then call:sound() end
    if call.fallen then
      call.fallen_task = nil
      if call.dial and call.dial.leg_id ~= call.id .. "-fallback" then call.dial = nil end  -- it was being left
      return call:fall(call.status == "escalated" and "escalated" or nil)
    end
    if call.visit == 0 then return entry.begin(call) end
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
        if roster.find(call.id) ~= call or call.up or call.gone_why or call.frozen then return end
        log.info("call.answer_not_heard", { call = call.id })
        call:answered()
        entry.begin(call)
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
  local slot = roster.slot(slot_name)
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
      if not roster.find(id) and not record.is_due(id) then
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
      if name:match("^PJSIP/") and not roster.by_channel[channel.id] and not channel.id:match("^p[cm]%-") then
        task.spawn(entry.inbound, slot_name, channel)
      elseif channel.id:match("^pc%-") and not roster.by_channel[channel.id] and not transfer.dials[channel.id] and not first then
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
  local slot = roster.slot(slot_name)
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
  local slot = roster.slot(slot_name)
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

-- Planned hand-over: every call ends its step; when all are written the successor may begin.
local function flush(slot)
  if slot.flushing then return end
  slot.flushing = true
  task.spawn(function()
    for _, call in pairs(slot.calls) do
      call:freeze()
    end
    task.sleep(0)
    for _, call in pairs(slot.calls) do
      for recorder in pairs(call.recorders) do task.spawn(recorder.close, recorder, nil) end  -- their rows may wait, the successor does not
      if not call.stale then
        local ok, err = pcall(call.keep_all, call)
        if not ok then log.error("call.record_not_written", { call = call.id, text = tostring(err) }) end  -- the other calls' are still
      end
    end
    transcript.settle_calls(slot.calls, SAID_MS)  -- from then on the calls' rows are the successor's
    telephony.flushed(slot.name)
    slot.flushing = nil
  end)
end

local function on_giving(slot_name)
  local slot = roster.slot(slot_name)
  slot.giving = function() flush(slot) end
  flush(slot)
end

-- commands from other workers ------------------------------------------------------------------------------------------------------

--- { id =, what = "escalate", reply = channel } on the slot's channel; the owner acts and answers.
function driver.command(text)
  local command = json.decode(text)
  if type(command) ~= "table" then return end
  local call = roster.find(command.id or "")
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
  local call = roster.find(id)
  if call then
    if what == "escalate" then return call:escalate() end
    return call:hangup(16, "agent")
  end
  local slot_name = roster.slot_in(id)
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
  roster.watch()
  lost.start(roster.find)
  journals.start()
  keeping.start()
  telephony.serve{ on_ready = on_ready, on_lost = on_lost, on_giving = on_giving, on_event = on_event }
  trunks.listen(function()
    local found = {}
    for name, slot in pairs(roster.slots) do
      if slot.ready and telephony.slot(name) then found[slot.node] = found[slot.node] or name end
    end
    return found
  end)
end

return driver
