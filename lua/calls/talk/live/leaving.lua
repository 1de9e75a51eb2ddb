-- SPDX-License-Identifier: Apache-2.0
--- How the caller is put through, or wished a good day: when he has heard what is being said. self.leaving is how, as long as it is to be done.
--- A part of calls.talk.live: each function takes its conversation.
local clocks = require "calls.talk.live.clocks"

local leaving = {}

local LEAVE_MOST_MS = 40000  -- the longest sentence before a transfer

--- Why a human takes over, where it is that for which is left.
function leaving.human_of(self)
  local how = self.leaving
  return how and (how:match("^human:(.*)$") or how == "transfer" and "transfer") or nil
end

--- Is it something that words of his hold up?
function leaving.heeds(self) return leaving.human_of(self) ~= nil or self.leaving == "hangup" end

--- It is done.
function leaving.go(self)
  local how, human = self.leaving, leaving.human_of(self)
  self:finish{ wants_human = human and true or false, why = human or how }
end

--- Ends the conversation when the caller has heard what is being said. That it has lasted long enough is the least of reasons.
function leaving.leave(self, how)
  if self.is_over or self.leaving and how == "limit" then return end
  self.leaving, self.left_at = how, self.heard_turn
  clocks.after(self, "leave", LEAVE_MOST_MS, leaving.go)
end

--- He says something before that: it is not done. The calls that it was to end have no result yet, and the model says nothing more until they have.
function leaving.stay(self)
  if not self.leaving then return end
  self.leaving, self.muted = nil, nil
  clocks.stop(self, "leave")
  clocks.stop(self, "leave_soon")
  clocks.stop(self, "objection")
  local calls = self.last_calls
  self.last_calls = {}
  for _, call in ipairs(calls) do
    self.running[call.id] = nil
    self.session:tool_result(call.id, call.text or "it was not done: the caller said something before", true)
  end
  self:keep()  -- whoever takes the call up is to know it
end

--- To a human, when he has heard that; the model says nothing more.
function leaving.to_human(self, why, text)
  self.muted = true
  if self.exchanges:owes() then self.exchanges:take() end
  self.exchanges:flush(true)
  self:say(text)
  self:leave("human:" .. why)
end

return leaving
