-- SPDX-License-Identifier: Apache-2.0
--- A call: the caller's channel, its leg, the flow that runs, and the record its successor would take up.
--- It lives in the worker that owns its slot; everything here runs on that worker's loop.
---
--- One task at a time waits for something to happen to a call (the running verb, or the fallback): call:await.
--- "gone" (the caller hung up), "frozen" (the slot is given to another worker) and "cut" (a human was asked for) end every wait.
local audit = require "audit"
local call_recording = require "calls.call_recording"
local cards = require "calls.cards"
local clock = require "core.clock"
local falling = require "calls.call.falling"
local fault = require "core.fault"
local figures = require "calls.figures"
local flow = require "flow"
local history = require "calls.history"
local journal = require "flow.journal"
local journals = require "calls.journals"
local json = require "core.json"
local keeping = require "calls.keeping"
local leads = require "leads"
local line = require "calls.call.line"
local log = require "core.log"
local metrics = require "core.metrics"
local moving = require "calls.call.moving"
local operator = require "scripts.operator"
local pii = require "lib.pii"
local pressed = require "calls.call.pressed"
local quality = require "calls.quality"
local record = require "calls.record"
local recordings = require "calls.recordings"
local task = require "core.task"
local time = require "lib.time"
local timer = require "core.timer"
local transcript = require "calls.transcript"
local verbs = require "calls.verbs"
local written = require "calls.call.written"

local Call = {}
Call.__index = Call

for _, part in ipairs{ falling, line, moving, pressed, written } do
  for name, method in pairs(part) do Call[name] = method end
end

local TAKEN_UP_MOST = 50   -- moments that are kept

--- @param fields table  id, tenant, slot, node, boot (which start of the node), fence, channel, direction, from, to, trunk_id, row_id, started_us, trace
function Call.new(fields)
  local call = setmetatable(fields, Call)
  call.status = call.status or "ringing"
  call.state = call.state or "start"
  call.visit = call.visit or 0
  call.data = call.data or {}
  call.journal = call.journal or journal.new()
  call.history = call.history or history.new()
  call.digits = call.digits or {}
  call.verbs = verbs.table
  call.seed = call.seed or math.random(1, 2 ^ 31)
  call.next_play = 0
  call.legs, call.recorders = {}, {}
  if call.pausing then recordings.pause(call, "script") end
  cards.came(call)
  call.states, call.taken_up = call.states or {}, call.taken_up or {}
  return call
end

--- Takes up a call from its record. When that was stands with its states.
function Call.restore(slot, fence, read)
  local fields = { tenant = read.tenant, slot = slot.name, fence = fence }
  for name, value in pairs(read.fields.head) do fields[name] = value end
  fields.node = slot.node
  local entries = {}
  for name, entry in pairs(read.fields) do
    local visit, n = name:match("^j(%d+)%.(%d+)$")
    if visit and tonumber(visit) == fields.visit then entries[tonumber(n)] = entry end
  end
  fields.journal = journal.new(entries)
  fields.history = history.new(read.fields)
  fields.figures = read.fields.figures
  fields.visiting = fields.visit > 0 and not fields.fallen and not fields.history:has(fields.visit)
  fields.digits = {}
  for digit in (read.fields.digits or ""):gmatch(".") do table.insert(fields.digits, digit) end
  local call = Call.new(fields)
  cards.restore(call, read.fields.keys)
  if #call.taken_up < TAKEN_UP_MOST then table.insert(call.taken_up, clock.rfc3339(clock.wall_us())) end
  return call
end

-- events -------------------------------------------------------------------------------------------------------------------

--- Waits until one of kinds happens: kind, ... ; "timeout" after ms. "gone", "frozen" and "cut" always end it.
function Call:await(kinds, ms)
  if self.frozen then return "frozen" end
  if self.gone_why then return "gone" end
  if self.cutting then return "cut" end
  local clock_over
  local result = { task.wait(function(resume)
    self.waiter = { kinds = kinds, resume = resume }
    if ms then clock_over = timer.after(ms, function() resume("timeout") end) end
  end) }
  self.waiter = nil
  if clock_over then clock_over:cancel() end
  return unpack(result)
end

--- Tells the waiting task. Returns whether it was waiting for this.
function Call:happen(kind, ...)
  if self.left_talking and (kind == "gone" or kind == "frozen" or kind == "cut") then self.left_talking(kind) end
  local waiter = self.waiter
  if waiter and (waiter.kinds[kind] or kind == "gone" or kind == "frozen" or kind == "cut") then
    self.waiter = nil
    waiter.resume(kind, ...)
    return true
  end
  return false
end

function Call:on_media(kind, id, position)
  if self.let_go then
    -- The successor's sound is there and has taken the place of ours in the bridge, or nobody speaks there.
    if kind == "silent" then self.let_go() end
    return
  end
  if kind == "silent" then log.info("call.hears_nothing", { call = self.id }) end
  if self.talk then self.talk:on_media(kind, id, position) end
  self:happen(kind, id, position)
end

-- the flow's side --------------------------------------------------------------------------------------------------------------

function Call:info()
  local info = { id = self.id, from = self.from, to = self.to, direction = self.direction, started_us = self.started_us,
                 seed = journal.seed(self.seed, self.visit), route = self.route }
  if self.state == "ended" then info.why = self.why end
  if self.state == "failed" then info.error = self.error_text end
  return info
end

--- The visit has ended: once, whoever finds it first.
function Call:visited(how)
  if not self.visiting then return end
  self.visiting = nil
  self.history:add(self.visit, history.visit(self, how))
  fault.point("call.visit_ended")
end

--- A turn was timed (a report of voice.timeline). It goes into the record with what is written there next: that the turn is over.
function Call:timed(report)
  self.figures, self.figures_new = self.figures or figures.new(), true
  figures.turn(self.figures, report)
end

--- What hooks are told of it.
function Call:about()
  return { id = self.id, from = self.from, to = self.to, direction = self.direction, state = self.state, flow = self.file,
    seconds = self:seconds_up(clock.wall_us()), outcome = self.outcome }
end

function Call:moved()
  self.visiting = true
  if self.left_talking then self.left_talking("cut") end  -- the state that it belongs to is left
  if #self.states < 200 then self.states[#self.states + 1] = { state = self.state, at = clock.rfc3339(clock.wall_us()) } end
  audit.live(self.tenant, { name = "call.state", call = self.id, state = self.state })
  local state, visit = self.state, self.visit
  -- States that are left before their turn to be written has come are not worth a transaction each.
  task.spawn(self.change, self, { state = state }, { type = "call.state", data = { state = state } }, function()
    return self.visit ~= visit or self.removed or self.stale
  end)
end

--- Begins the flow of a new call.
function Call:begin(start)
  flow.enter(self, start)
end

--- The flow has ended by itself (or its `ended` state has run).
function Call:finished()
  if self.gone_why then return self:close() end
  self.outcome = self.outcome or "done"
  self:keep_head()
  if self.up then task.sleep(200) end  -- the last words are on their way
  if not self.gone_why then self:hangup(16, "flow") end
end

-- Each call counts once for the version it ran: when it fails, else when it ends. One whose routing failed went on by the rules
-- that hold without it, and is a failed one all the same.
function Call:count(kind)
  if self.counted or not self.hash then return end
  self.counted = true
  require("scripts").count(self.operators and operator.tenant or self.tenant, self.hash, kind or self.hook_failed, self.canary)
end

-- ends --------------------------------------------------------------------------------------------------------------------------

--- The caller's channel has left.
function Call:on_gone(why, cause)
  if self.gone_why then return end
  self.gone_why = why
  self.cause = cause or self.cause_sent or self.cause
  self.hangup_by = self.hangup_by or "caller"
  self:make_secret(cards.left(self))  -- written with what follows
  for _, other in pairs(self.legs) do other:end_dial() end
  self:happen("gone", why)
  if self.leg then
    self.quality = quality.of((self.leg:stats()))
    if self.quality then quality.observe(self.quality) end
    self.leg:close(false)
    self.leg = nil
  end
  -- A verb that was waiting ends in its own task first (a recording closes its file).
  task.spawn(call_recording.close, self)
  task.spawn(function()
    task.sleep(0)
    local ok, err = pcall(flow.ended, self, self.hangup_by)
    if ok then return end
    log.error("call.not_ended", { call = self.id, tenant = self.tenant.slug, text = tostring(err) })
    self:close()  -- whatever broke: the caller is gone
  end)
end

--- The Asterisk node has ended, and the call with it.
function Call:on_node_ended()
  if self.gone_why or self.hangup_by then return end
  self.hangup_by, self.cause = "platform", 41
  self.failure = self.failure or "the telephony node ended while the call was up"
end

--- How long it was up. A clock may step meanwhile, so its own is asked where this worker has seen the answer.
function Call:seconds_up(now_us)
  if not self.answered_us then return 0 end
  local seconds = self.answered_mono_ms and (clock.mono_ms() - self.answered_mono_ms) / 1e3 or (now_us - self.answered_us) / 1e6
  return math.max(0, math.floor(seconds + 0.5))
end

--- Everything has run: the row is closed, the record goes.
function Call:close()
  if self.removed then return end
  self.removed, self.over = true, true
  self:stands(false)
  fault.point("call.ending")
  local now = clock.wall_us()
  local answered = self.answered_us
  local status = answered and (self.status == "escalated" and "escalated" or "completed") or "failed"
  if not answered and not self.failure then
    self.failure = self.direction == "outbound" and "the call was not answered"
      or self.hangup_by == "caller" and "the caller hung up before the call was answered" or "the call was ended without being answered"
  end
  local outcome = self.outcome or (answered and "hangup" or "unanswered")
  self.status = status
  local packed, packed_journal = pcall(function()
    self:visited{ left = self.hangup_by or "ended" }
    return history.pack(self)
  end)
  if not packed then log.error("call.journal_not_packed", { call = self.id, tenant = self.tenant.slug, text = tostring(packed_journal) }) end
  local fields = {
    status = status, end_time = time.sql(now), duration_seconds = self:seconds_up(now), state = self.state,
    answer_time = answered and time.sql(answered), flow = self.file, bundle_hash = self.hash,  -- the database may have been away
    outcome = outcome, hangup_cause = self.cause or 16, hangup_by = self.hangup_by, failure = self:sealed_failure(),
    timeline = pii.seal(self.tenant, "call.timeline", json.encode{ states = json.array(self.states), takenUp = json.array(self.taken_up), quality = self.quality }),
    journal = packed and packed_journal or nil, journal_at = packed and packed_journal and time.sql(now) or nil,
  }
  local counts, day, uncounted = answered, nil, nil
  local function attempt()
    return self:change(fields, { type = "call.ended", data = { status = status, outcome = outcome, by = self.hangup_by,
      seconds = fields.duration_seconds } }, nil, function(tx)
      if counts then day, uncounted = quality.count(tx, self.row_id, fields.end_time, self.figures, self.quality) end
    end)
  end
  -- The row must be closed, also when the database is away for a while: the record stays until it is.
  local wait = 200
  while true do
    local done, why = attempt()
    if done ~= nil then break end
    if why == "refused" and fields.timeline then
      -- Something in it does not fit its column. That would not change, so the row is closed without what scripts can shape.
      log.error("call.not_written_whole", { call = self.id, tenant = self.tenant.slug })
      fields.state, fields.flow, fields.bundle_hash, fields.failure, fields.timeline = nil, nil, nil, nil, nil
      fields.journal, fields.journal_at, counts = nil, nil, nil
    else
      task.sleep(wait)
      wait = math.min(wait * 2, 5000)
    end
    if self.stale then return end
  end
  fault.point("call.row_closed")
  self:count()
  if day then
    quality.rank(self.tenant, day)
    keeping.expect(self.tenant)
  end
  if uncounted then log.error("call.not_counted", { call = self.id, tenant = self.tenant.slug, text = uncounted }) end
  if fields.journal then journals.expect(self.tenant) end
  if self.lead then
    local about = self:about()
    about.outcome, about.seconds = outcome, fields.duration_seconds
    task.spawn(leads.rescore, self.tenant, self.lead, about, { actor = "flow", trace = self.trace })
  end
  metrics.count("calls_ended_total", { status = status, direction = self.direction }, 1, "calls that ended")
  self:forget()
end

--- The row is closed: what else is kept of the call goes.
function Call:forget()
  self.removed, self.over = true, true
  self:stands(false)
  transcript.finish(self)
  recordings.finish(self)
  fault.point("call.recordings_finished")
  if not self.stale then record.remove_surely(self.slot, self.id, self.fence) end
  fault.point("call.record_removed")
  if self.on_removed then self.on_removed(self) end
end

return Call
