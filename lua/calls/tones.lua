-- SPDX-License-Identifier: Apache-2.0
--- Sounds that are made of sines.
local media = require "core.media"

local tones = {}

--- A tone, such as the beep before a recording.
function tones.beep(hz, ms)
  local samples = {}
  local count = 8 * ms
  for i = 0, count - 1 do
    local envelope = math.min(1, i / 80, (count - 1 - i) / 80)
    local value = math.floor(8000 * envelope * math.sin(2 * math.pi * hz * i / 8000))
    if value < 0 then value = value + 65536 end
    samples[#samples + 1] = string.char(value % 256, math.floor(value / 256))
  end
  return media.pcm(table.concat(samples))
end

local ringing
--- Ring-back as callers know it: 440 and 480 Hz, two seconds in six.
function tones.ringing()
  if not ringing then
    local on = {}
    for i = 0, 15999 do
      local value = math.floor(2500 * (math.sin(2 * math.pi * 440 * i / 8000) + math.sin(2 * math.pi * 480 * i / 8000)))
      if value < 0 then value = value + 65536 end
      on[i + 1] = string.char(value % 256, math.floor(value / 256))
    end
    ringing = media.pcm(table.concat(on) .. ("\0\0"):rep(32000))
  end
  return ringing
end

return tones
