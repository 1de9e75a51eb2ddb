-- SPDX-License-Identifier: Apache-2.0
--- Where sound that was broken off is gone on with. By the text it is known about where a word began; there, between two words, it is soft, and
--- what begins in the midst of a word is a torn one with a click.
---
---   ~~~~~~~~~~~~_~~~~~~~|        heard up to |
---               ^ soft, near what the text says
local seam = {}

local BEFORE_MS, BEHIND_MS = 400, 100  -- rather a word said twice than half of one
local WINDOW_MS, STEP_MS = 16, 8
local EVERY = 3          -- of a window's samples one is looked at
local SOFT = 1 / 16      -- of the power around it: 12 dB below; nothing louder is a gap

-- Mean square of the samples from there on.
local function power(pcm, from, samples)
  local sum, n = 0, 0
  for i = from, from + samples - 1, EVERY do
    local low, high = pcm:byte(i * 2 + 1, i * 2 + 2)
    if not high then break end
    local value = low + high * 256
    if value >= 32768 then value = value - 65536 end
    sum, n = sum + value * value, n + 1
  end
  return n > 0 and sum / n or math.huge
end

--- @param pcm string        16 bit little-endian mono
--- @param about_ms number   where a word begins, by the text
--- @param most_ms number    so much was heard: it is not gone on with behind that
--- @return number           ms; where it is soft nowhere near, about_ms, or 0 when it has hardly begun
function seam.at(pcm, rate, about_ms, most_ms)
  local first, last = math.max(0, about_ms - BEFORE_MS), math.min(about_ms + BEHIND_MS, most_ms) - WINDOW_MS
  local samples = math.floor(WINDOW_MS * rate / 1000)
  local best, softest, sum, n = nil, math.huge, 0, 0
  for ms = first, last, STEP_MS do
    local now = power(pcm, math.floor(ms * rate / 1000), samples)
    if now == math.huge then break end
    sum, n = sum + now, n + 1
    -- Of a long gap, its end.
    if now <= softest then best, softest = ms + WINDOW_MS / 2, now end
  end
  if best and softest <= sum / n * SOFT then return best end
  return about_ms > BEFORE_MS and about_ms or 0
end

return seam
