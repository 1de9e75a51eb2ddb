-- SPDX-License-Identifier: Apache-2.0
--- The caller of a conversation that a realtime model leads, as our own voice detection has him: when he speaks, and his sound that nobody has answered,
--- for whoever goes on without that model. Arithmetic only: the time is given.
local turns = require "voice.turns"

local caller = {}
caller.__index = caller

caller.RATE, caller.BATCH_MS, caller.KEEP_MS, caller.RAMP_MS = 8000, 40, 2000, 60

local BYTES_A_MS = 16
local BEFORE_MS, MOST_MS = 500, 20000    -- of sound: in front of what the VAD noticed, for it notices late; and of what is not answered
local NOTICED_MS = 60                    -- the VAD tells of a voice so late
local LONG_MS = turns.defaults.unclear_ms  -- of voice; less is a noise
local NEAR_MS = 200                      -- so near to the most some of it may be gone
local EXPECT_MS = 600                    -- of silence behind a long voice: an answer is waited for
local BEHIND_MS = 1000                   -- of silence that is kept behind a voice
local FORGET_MS = 10000                  -- of silence: what was not answered until then was no speech

-- sound: what is not answered; recent: what comes while there is nothing like that, or nothing more of it.
function caller.new() return setmetatable({ sound = { bytes = 0 }, recent = { bytes = 0 }, voiced = 0 }, caller) end

local function add(list, pcm, most_ms)
  list[#list + 1], list.bytes = pcm, list.bytes + #pcm
  while list.bytes > most_ms * BYTES_A_MS do list.bytes = list.bytes - #table.remove(list, 1) end
end

--- He is heard, silence too.
function caller:hears(pcm)
  if self.pending and not self.enough then return add(self.sound, pcm, MOST_MS) end
  add(self.recent, pcm, BEFORE_MS)
end

--- Does he speak, by our word or the provider's?
function caller:is_speaking() return self.speaking and not self.noise or self.provider_hears or false end

--- What voice there is now is none of his.
function caller:is_noise()
  self.noise, self.resumed = self.speaking, true
end

--- A voice, that began `position` ms ago: since when that is in ms.
function caller:voice(position, now)
  local since = math.max(position, NOTICED_MS)
  if not self.speaking then
    self.speaking, self.expected, self.resumed = true, false, false
    -- A pause within what is not answered is part of it.
    if not self.pending then self.began, self.voiced, self.sound = now - since, 0, { bytes = 0 } end
    for _, pcm in ipairs(self.recent) do add(self.sound, pcm, MOST_MS) end
    self.from, self.pending, self.ended, self.enough, self.recent = now - since, true, nil, false, { bytes = 0 }
  end
  return since
end

--- There is no voice since so many ms: "resume" (it was a false alarm, for the provider hears nobody), "expect" (an answer is to come), or nil.
--- @param owed boolean  the provider has heard him, and an answer is to come
function caller:quiet(position, now, owed)
  if self.speaking then
    self.speaking, self.noise, self.ended = false, false, now - position
    self.voiced = self.voiced + self.ended - self.from
  end
  if position >= FORGET_MS then self.provider_hears = false end
  if not self.pending then return nil end
  self.enough = self.enough or position >= BEHIND_MS
  if position >= FORGET_MS and not owed then return self:answered() end
  if position >= turns.defaults.resume_quiet_ms and not self.resumed and not self.provider_hears then
    self.resumed = true
    return "resume"
  end
  if position >= EXPECT_MS and not self.expected and self.voiced >= LONG_MS then
    self.expected = true
    return "expect"
  end
end

--- Since when he has said what is not answered; now, where only the provider heard him.
function caller:since(now) return self.pending and self.began or now end

--- Until when the provider may tell of what he says, or has just said: a voice that it does not hear is noise, and what it had not noticed by a while behind it, too.
function caller:heard_until()
  if self.speaking and not self.noise then return self.from + (self.provider_hears and MOST_MS or turns.defaults.noise_ms) end
  return self.pending and not self.resumed and self.ended and self.ended + turns.defaults.resume_quiet_ms or 0
end

--- Was that turn's voice as long as one with words is?
function caller:was_long(turn) return (turn.ended or self.ended or turn.began) - turn.began >= LONG_MS end

--- An answer to him has begun.
function caller:answered()
  if self.speaking then return end
  self.pending, self.expected, self.resumed, self.sound = false, true, true, { bytes = 0 }
end

--- Since how many ms he has said what nobody has answered; nil where there is nothing, or its beginning is not kept any more.
function caller:kept_ms(now)
  return self.pending and self.sound.bytes < (MOST_MS - NEAR_MS) * BYTES_A_MS and now - self.began or nil
end

--- What he has said and nobody has answered, as it would be told of now: { sound = list of pcm | nil, voice_ms = since it began, quiet_ms = since it
--- ended, nil while he speaks }.
function caller:unanswered(now)
  if not self.pending then return {} end
  if self.speaking then return { sound = self.sound, voice_ms = now - self.began } end
  -- Only just: whoever hears it has all his time for it.
  return { sound = self.sound, voice_ms = self.ended - self.began + EXPECT_MS, quiet_ms = EXPECT_MS }
end

return caller
