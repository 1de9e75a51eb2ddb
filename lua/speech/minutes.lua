-- SPDX-License-Identifier: Apache-2.0
--- What a recogniser listens to for as long as a call lasts is paid for minute by minute, and so is the time in which a realtime model is connected whose price
--- is of minutes: the next one is asked for before this one is over, so that a budget that ends is noticed within a minute, and a worker that dies loses no more
--- than that of the ledger (speech.next_use).
local fallback = require "speech.fallback"
local next_use = require "speech.next_use"

local minutes = {}
minutes.__index = minutes

local MINUTE_S, AHEAD_S = 60, 10
local MINUTE = { seconds = MINUTE_S }

--- Begins: minutes | nil, failure. Waits as budgets do.
--- @param on_refused function  (failure): a minute is over, and the next one may not be paid for
function minutes.begin(try, on_refused)
  local entered, failure = fallback.enter(try, MINUTE)
  if not entered then return nil, failure end
  return setmetatable({ try = try, account = try.owner.account, next = next_use.new(try, MINUTE, "minute", on_refused), seconds = 0 }, minutes)
end

--- So much sound was sent, or time has passed.
function minutes:heard(seconds)
  self.seconds = self.seconds + seconds
  if not self.account or self.is_over then return end
  if self.following and self.seconds >= MINUTE_S then
    self.try.use:pass(self.following)
    fallback.leave(self.try, { seconds = self.seconds })
    self.try.use, self.following, self.seconds = self.following, nil, 0
  end
  if self.seconds < MINUTE_S - AHEAD_S or self.following then return end
  self.next:ask(function(use)
    self.following = use
    self:heard(0)
  end)
end

--- No more sound is sent.
function minutes:over(failure)
  self.is_over = true
  self.next:close()
  if self.following then self.following:drop() end
  self.following = nil
  fallback.leave(self.try, self.seconds > 0 and { seconds = self.seconds } or nil, failure)
end

return minutes
