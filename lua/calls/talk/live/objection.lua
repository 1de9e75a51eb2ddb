-- SPDX-License-Identifier: Apache-2.0
--- Words that hold up a caller who is about to be put through, or to be hung up on. They may be written down only when all is said that comes before: what he has begun to
--- say by then is waited for.
--- A part of calls.talk.live: each function takes its conversation.
local clocks = require "calls.talk.live.clocks"
local floor = require "calls.talk.live.floor"
local leaving = require "calls.talk.live.leaving"
local outgoing = require "calls.talk.live.outgoing"
local reading = require "voice.reading"
local turns = require "voice.turns"

local objection = {}

-- Until when they may come.
local function words_due(self)
  local due = self.caller:heard_until()
  for _, turn in ipairs(self.exchanges:waiting()) do
    if not turn.final then due = math.max(due, (self.caller.ended or turn.ended or turn.began) + turns.defaults.object_ms) end
  end
  return due
end

--- May he have said something by now that holds him up? Asked again at every event, and when it is too late for words.
function objection.is_awaited(self)
  local left_ms = leaving.heeds(self) and not self.lost and words_due(self) - self.world.now() or 0
  if left_ms <= 0 then
    clocks.stop(self, "objection")
    return false
  end
  clocks.after(self, "objection", left_ms, function() end)
  return true
end

--- Words have come: do they hold him up? Not where they are of a turn for which he is put through.
--- @param event table  user_text of the session
--- @param turn table   of calls.talk.exchanges, which has them
function objection.heard(self, event, turn)
  local waits = false
  for _, other in ipairs(self.exchanges:waiting()) do waits = waits or other == turn end
  if not waits and event.turn <= self.left_at or not reading.objects(event.text, self.args.language, event.final, leaving.human_of(self) ~= nil) then return end
  local unheard = waits and self.unheard
  if unheard and not event.final then return end
  if waits then floor.interrupt(self) else leaving.stay(self) end
  if not unheard then return end
  -- What it answered was for nobody.
  self.unheard, self.awaits = nil, true
  self.session:text(outgoing.words(self, event.turn, event.text))
end

return objection
