-- SPDX-License-Identifier: Apache-2.0
--- The end of a call: its caller is gone, its flow has its last word, its row is closed, and what else is kept of it goes.
--- A part of calls.call: methods of a call.
local call_recording = require "calls.call_recording"
local cards = require "calls.cards"
local clock = require "core.clock"
local fault = require "core.fault"
local flow = require "flow"
local history = require "calls.history"
local journals = require "calls.journals"
local json = require "core.json"
local keeping = require "calls.keeping"
local leads = require "leads"
local log = require "core.log"
local metrics = require "core.metrics"
local pii = require "lib.pii"
local quality = require "calls.quality"
local record = require "calls.record"
local recordings = require "calls.recordings"
local task = require "core.task"
local time = require "lib.time"
local transcript = require "calls.transcript"

local ending = {}

--- The caller's channel has left.
function ending:on_gone(why, cause)
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
function ending:on_node_ended()
  if self.gone_why or self.hangup_by then return end
  self.hangup_by, self.cause = "platform", 41
  self.failure = self.failure or "the telephony node ended while the call was up"
end

--- How long it was up. A clock may step meanwhile, so its own is asked where this worker has seen the answer.
function ending:seconds_up(now_us)
  if not self.answered_us then return 0 end
  local seconds = self.answered_mono_ms and (clock.mono_ms() - self.answered_mono_ms) / 1e3 or (now_us - self.answered_us) / 1e6
  return math.max(0, math.floor(seconds + 0.5))
end

--- Everything has run: the row is closed, the record goes.
function ending:close()
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
function ending:forget()
  self.removed, self.over = true, true
  self:stands(false)
  transcript.finish(self)
  recordings.finish(self)
  fault.point("call.recordings_finished")
  if not self.stale then record.remove_surely(self.slot, self.id, self.fence) end
  fault.point("call.record_removed")
  if self.on_removed then self.on_removed(self) end
end

return ending
