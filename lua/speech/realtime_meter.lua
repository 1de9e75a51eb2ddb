-- SPDX-License-Identifier: Apache-2.0
--- A connection with a realtime model is paid for answer by answer, as the provider tells what each has used: one row of the ledger for each, and a budget
--- that has ended is noticed before the next but one (speech.next_use).
---
---   local paid, failure = meter.begin(try)               waits as budgets do
---   paid:used(units)                                     of speech.realtime_usage; never waits
---   paid:rest(units)                                     the same, of the last there is: over() comes next
---   paid:transcribed({ model, seconds })                 another model of the same provider wrote down what was said
---   paid:passed()                                        time has passed: once a second at least
---   paid:over(failure | nil)                             nothing more is asked of it
---   paid.on_refused = function(failure)                  what comes next may not be paid for
---
--- A model whose price is of minutes and not of tokens is paid for the time in which it is connected, minute by minute as a recogniser is
--- (speech.minutes), whether it answers or not.
local clock = require "core.clock"
local fallback = require "speech.fallback"
local log = require "core.log"
local minutes = require "speech.minutes"
local next_use = require "speech.next_use"
local realtime_usage = require "speech.realtime_usage"
local task = require "core.task"

local meter = {}
meter.__index = meter

-- The most that an answer is taken to come to: all that was said before it, and two minutes of speech.
local MOST = { input = 4000, audio_input = 4000, audio_output = 2400 }

local function is_by_minute(account, target)
  local price = account and account.found.price(target)
  return price ~= nil and price.minute ~= nil and not (price.audio_input and price.audio_output)
end

local function nothing() end

--- Begins: a meter | nil, failure.
function meter.begin(try)
  local account = try.owner.account
  local self = setmetatable({ try = try, account = account, on_refused = nothing }, meter)
  local function refused(refusal) self.on_refused(refusal) end
  if is_by_minute(account, try.target) then
    local paid, failure = minutes.begin(try, refused)
    if not paid then return nil, failure end
    self.minutes, self.since_ms = paid, clock.mono_ms()
    return self
  end
  local entered, failure = fallback.enter(try, MOST)
  if not entered then return nil, failure end
  self.next = next_use.new(try, MOST, "answer", refused)
  return self
end

--- See above.
function meter:passed()
  if not self.minutes then return end
  local now = clock.mono_ms()
  local seconds = (now - self.since_ms) / 1000
  self.since_ms = now
  self.minutes:heard(seconds)
end

-- What is to be paid since the last time, or nil.
local function due(self)
  local units = self.units
  self.units = nil
  return units
end

-- What has been used is paid for, and the next answer goes on with what was held for it.
local function settle(self, use)
  self.try.use:pass(use)
  fallback.leave(self.try, due(self))
  self.try.use = use
end

--- See above. What is told while the budget is asked is paid with that.
function meter:used(units)
  if self.minutes then return end
  self.units = realtime_usage.sum(self.units, units)
  if self.account then self.next:ask(function(use) settle(self, use) end) end
end

--- See above.
function meter:rest(units)
  if self.minutes then return end
  self.units = realtime_usage.sum(self.units, units)
end

local function pay_transcription(self, heard)
  local target = {}
  for name, value in pairs(self.try.target) do target[name] = value end
  target.model, target.purpose = heard.model, "recognise"
  local units = { seconds = heard.seconds }
  local ok, use, failure = pcall(self.account.begin, self.account, target, units, true)
  if ok and use then return use:done(units) end
  if self.unpaid then return end
  self.unpaid = true  -- is told once: each sentence has one
  log.warn("speech.transcription_not_paid", { provider = target.provider, model = heard.model, text = ok and failure.text or tostring(use) })
end

local function pay_transcriptions(self)
  while self.heard do
    local heard = self.heard
    self.heard = nil
    pay_transcription(self, heard)
  end
  self.transcribing = false
end

--- See above. One at a time, for a provider tells of as many as it likes: what comes meanwhile is one with the next.
function meter:transcribed(heard)
  if not self.account or heard.seconds <= 0 then return end
  self.heard = { model = heard.model, seconds = (self.heard and self.heard.seconds or 0) + heard.seconds }
  if self.transcribing then return end
  self.transcribing = true
  task.spawn(pay_transcriptions, self)
end

--- See above.
function meter:over(failure)
  if self.is_over then return end
  self.is_over = true
  if self.minutes then
    self:passed()
    return self.minutes:over(failure)
  end
  self.next:close()
  local units, use = due(self), self.try.use
  if units or failure or not use then return fallback.leave(self.try, units, failure) end
  -- Nothing came of it since the last answer: no row tells of that.
  self.try.use = nil
  use:drop()
end

return meter
