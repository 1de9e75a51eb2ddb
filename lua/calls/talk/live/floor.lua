-- SPDX-License-Identifier: Apache-2.0
--- Who has the floor while a realtime model leads: our VAD is there first, and only ducks what is said, then holds it; the provider's word decides. When it hears the
--- caller too, the model is told what of its answer had reached him; when it does not, the rest is played.
--- A part of calls.talk.live: each function takes its conversation.
local caller = require "calls.talk.caller"
local clocks = require "calls.talk.live.clocks"
local keeping = require "calls.talk.live.keeping"
local leaving = require "calls.talk.live.leaving"
local own_words = require "calls.talk.live.own_words"
local turns = require "voice.turns"

local floor = {}

--- Is anything of ours or the model's being heard?
function floor.is_sounding(self) return next(self.own) ~= nil or self.player:is_busy() end

--- Is that something which is not interrupted?
function floor.is_guarded(self)
  for _, own in pairs(self.own) do
    if own.guard then return true end
  end
  return false
end

--- Does he take it by words only? Who is about to be put through does, and who was wished a good day.
function floor.by_words(self) return leaving.human_of(self) ~= nil or leaving.heeds(self) and not floor.is_sounding(self) end

local function mark_cut(self, number)
  local line = not self.exchanges:is_past(number) and self.exchanges:of(number).line
  if not line then return end
  local now = self.world.now()
  line:mark("voice_began", self.caller:since(now))
  line:mark("stopping", now)
end

local function duck(self, db)
  local leg = self.call.leg
  if leg then leg:duck(db, caller.RAMP_MS) end
end

--- The caller takes the floor, for good.
--- @param by_keys boolean|nil  with a key, not with his voice
function floor.interrupt(self, by_keys)
  clocks.stop(self, "hold")
  clocks.stop(self, "noise")
  duck(self, 0)
  -- One that is all there is written down as it is cut off, with these times.
  local number, ms = self.player:cut(function(first) mark_cut(self, first) end)
  if number then self.session:cancel(math.floor(ms), number) end
  own_words.cut(self, by_keys)
  leaving.stay(self)
  keeping.flush(self)
end

-- It was a false alarm: the rest of what is held.
local function resume(self)
  clocks.stop(self, "noise")
  for id = 1, self.said do
    if self.own[id] then self.mouth:resume(id) end
  end
  self.player:resume()
end

-- Voice that the provider does not hear: music, a motor, somebody else.
local function take_for_noise(self)
  if self.caller.provider_hears and not leaving.human_of(self) then return end
  self.caller:is_noise()
  duck(self, 0)
  resume(self)
end

-- He speaks on: silence, until the provider says what to make of it.
local function hold(self)
  if leaving.human_of(self) then return end
  if self.lost and not self.muted then return self:hand_over() end
  if self.player:is_busy() then self.player:hold() end
  for id, own in pairs(self.leaving and {} or self.own) do
    if not own.guard then self.mouth:stop(id) end
  end
  clocks.after(self, "noise", turns.defaults.noise_ms, take_for_noise)
end

--- The VAD noticed a voice, that began so many ms ago.
function floor.voice(self, position)
  self:notice("speech", { ms = position })
  local since = self.caller:voice(position, self.world.now())
  -- Who is about to be put through is held up by words only.
  if not floor.is_sounding(self) or floor.is_guarded(self) or leaving.human_of(self) then return end
  duck(self, -turns.defaults.duck_db)
  clocks.after(self, "hold", turns.defaults.stop_ms - since, hold)
end

--- There is no voice since so many ms.
function floor.quiet(self, position)
  self:notice("quiet", { ms = position })
  local event = self.caller:quiet(position, self.world.now(), self.exchanges:owes())
  clocks.stop(self, "hold")
  if self.caller.ended then self.exchanges:quiet(self.caller.ended) end
  if position >= turns.defaults.restore_ms then duck(self, 0) end
  if event == "resume" then resume(self) end
  if event == "expect" then self.session:expect_answer() end
end

return floor
