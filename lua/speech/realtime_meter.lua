-- SPDX-License-Identifier: Apache-2.0
--- A connection with a realtime model is paid for answer by answer, as the provider tells what each has used: one row of the ledger for each, and a budget
--- that has ended is noticed before the next but one (speech.next_use).
---
---   local paid, failure = meter.begin(try)               waits as budgets do
---   paid:used(units)                                     of speech.realtime_usage; never waits
---   paid:rest(units)                                     the same, of the last there is: over() comes next
---   paid:transcribed({ model, seconds })                 another model of the same provider wrote down what was said
---   paid:over(failure | nil)                             nothing more is asked of it
---   paid.on_refused = function(failure)                  an answer is over, and the next one may not be paid for
---
--- A model whose price is of minutes and not of tokens is paid for the time in which it was connected.
local clock = require "core.clock"
local fallback = require "speech.fallback"
local log = require "core.log"
local next_use = require "speech.next_use"
local realtime_usage = require "speech.realtime_usage"
local task = require "core.task"

local meter = {}
meter.__index = meter

-- The most that an answer is taken to come to: all that was said before it, and two minutes of speech.
local MOST = { input = 4000, audio_input = 4000, audio_output = 2400 }
local MINUTE = { seconds = 60 }

local function is_by_minute(account, target)
  local price = account and account.found.price(target)
  return price ~= nil and price.minute ~= nil and not (price.audio_input and price.audio_output)
end

local function nothing() end

--- Begins: a meter | nil, failure.
function meter.begin(try)
  local account = try.owner.account
  local self = setmetatable({ try = try, account = account, on_refused = nothing, since_ms = clock.mono_ms(), by_minute = is_by_minute(account, try.target) }, meter)
  self.most = self.by_minute and MINUTE or MOST
  local entered, failure = fallback.enter(try, self.most)
  if not entered then return nil, failure end
  self.next = next_use.new(try, self.most, "answer", function(refusal) self.on_refused(refusal) end)
  return self
end

-- What is to be paid since the last time, or nil.
local function due(self)
  local units = self.units
  self.units = nil
  if not self.by_minute then return units end
  local now = clock.mono_ms()
  units = { seconds = (now - self.since_ms) / 1000 }
  self.since_ms = now
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
  self.units = realtime_usage.sum(self.units, units)
  if self.account then self.next:ask(function(use) settle(self, use) end) end
end

--- See above.
function meter:rest(units) self.units = realtime_usage.sum(self.units, units) end

local function pay_transcription(self, heard)
  local target = {}
  for name, value in pairs(self.try.target) do target[name] = value end
  target.model, target.purpose = heard.model, "recognise"
  local units = { seconds = heard.seconds }
  local ok, use, failure = pcall(self.account.begin, self.account, target, units, true)
  if ok and use then return use:done(units) end
  log.warn("speech.transcription_not_paid", { provider = target.provider, model = heard.model, text = ok and failure.text or tostring(use) })
end

--- See above.
function meter:transcribed(heard)
  if self.account and heard.seconds > 0 then task.spawn(pay_transcription, self, heard) end
end

--- See above.
function meter:over(failure)
  if self.is_over then return end
  self.is_over = true
  self.next:close()
  local units, use = due(self), self.try.use
  if units or failure or not use then return fallback.leave(self.try, units, failure) end
  -- Nothing came of it since the last answer: no row tells of that.
  self.try.use = nil
  use:drop()
end

return meter
