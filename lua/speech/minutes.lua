-- SPDX-License-Identifier: Apache-2.0
--- What a recogniser listens to for as long as a call lasts is paid for minute by minute: the next one is asked for before this one is over, so
--- that a budget that ends is noticed within a minute, and a worker that dies loses no more than that of the ledger. All of them are one request: what
--- it holds of the limits goes from each to the next.
local fallback = require "speech.fallback"
local log = require "core.log"
local task = require "core.task"

local minutes = {}
minutes.__index = minutes

local MINUTE_S, AHEAD_S = 60, 10

--- Begins: minutes | nil, failure. Waits as budgets do.
--- @param on_refused function  (failure): a minute is over, and the next one may not be paid for
function minutes.begin(try, on_refused)
  local entered, failure = fallback.enter(try, { seconds = MINUTE_S })
  if not entered then return nil, failure end
  return setmetatable({ try = try, account = try.owner.account, on_refused = on_refused, seconds = 0 }, minutes)
end

local function renew(self)
  local ok, use, failure = pcall(self.account.begin, self.account, self.try.target, { seconds = MINUTE_S }, true)
  self.renewing = false
  if not ok then
    log.error("speech.minute_not_begun", { provider = self.try.target.provider, text = tostring(use) })
    use, failure = nil, { class = "server", text = "what the next minute costs cannot be asked just now", ours = true }
  end
  if self.is_over then
    if use then use:drop() end
    return
  end
  if not use then
    self.refused = true
    return self.on_refused(failure)
  end
  self.following = use
  self:heard(0)
end

--- Sound was sent.
function minutes:heard(seconds)
  self.seconds = self.seconds + seconds
  if not self.account or self.is_over or self.refused then return end
  if self.following and self.seconds >= MINUTE_S then
    self.try.use:pass(self.following)
    fallback.leave(self.try, { seconds = self.seconds })
    self.try.use, self.following, self.seconds = self.following, nil, 0
  end
  if self.seconds >= MINUTE_S - AHEAD_S and not self.following and not self.renewing then
    self.renewing = true
    task.spawn(renew, self)
  end
end

--- No more sound is sent.
function minutes:over(failure)
  self.is_over = true
  if self.following then self.following:drop() end
  self.following = nil
  fallback.leave(self.try, self.seconds > 0 and { seconds = self.seconds } or nil, failure)
end

return minutes
