-- SPDX-License-Identifier: Apache-2.0
--- What an answer of a realtime model used, in the units that have a price (ai.prices): tokens of text and tokens of sound apart from each other.
--- Providers tell sums in which both lie, and of them the sound. No I/O.
local usage = {}

local function most(value, limit) return math.min(value or 0, limit) end

--- { input, cached, output, audio_input, audio_cached, audio_output }. No part is more than its sum, so none can cost less than nothing.
--- @param all table    { input, cached, output } in all, each may be left out
--- @param sound table  the same, of it the sound
function usage.of(all, sound)
  local input, output = all.input or 0, all.output or 0
  local audio_input, audio_output = most(sound.input, input), most(sound.output, output)
  local cached = most(all.cached, input)
  local audio_cached = math.min(sound.cached or 0, cached, audio_input)
  return { input = input - audio_input, cached = most(cached - audio_cached, input - audio_input), output = output - audio_output,
    audio_input = audio_input, audio_cached = audio_cached, audio_output = audio_output }
end

--- Both together; either may be nil.
function usage.sum(a, b)
  if not a or not b then return a or b end
  local sum = {}
  for name, value in pairs(a) do sum[name] = value end
  for name, value in pairs(b) do sum[name] = (sum[name] or 0) + value end
  return sum
end

return usage
