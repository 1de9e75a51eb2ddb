-- SPDX-License-Identifier: Apache-2.0
--- Callers that are heard: of each the media thread's sound, resampled, goes to a recogniser of its own over WebSocket, and what that says comes
--- back, while something is played to the caller. An utterance ends by the VAD. Run by pipeline_bench: COUNT VOICE URL RATE.
local clock = require "core.clock"
local health = require "ai.health"
local json = require "core.json"
local media = require "core.media"
local recogniser = require "speech.recogniser"
local speech_world = require "speech.world"
local task = require "core.task"

local count, voice, url, rate = tonumber((...)), select(2, ...), select(3, ...), tonumber((select(4, ...)))

local QUIET_MS, BATCH_MS = 600, 100    -- as lua/calls/talk/ears.lua has them
local A_TURN = 50                      -- calls that begin at once, before the loop does something else

local world = {}
for name, value in pairs(speech_world) do world[name] = value end
world.health = health.new(world)
local target = { provider = "bench", kind = "deepgram", url = url, model = "m", key = "k", owner = 0 }

local file = assert(io.open(voice, "rb"))
local played = media.pcm(file:read "*a")
file:close()

local bench, seen = {}, nil
package.loaded.bench = bench

function bench.begin()
  seen = { batches = 0, dropped = 0, partials = 0, finals = 0, speech = 0, failed = 0, partial_ms = {}, final_ms = {} }
end
bench.begin()

local function percentile(list, part)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * part))] or 0
end

function bench.finish()
  local done = seen
  bench.begin()
  for _, name in ipairs{ "partial_ms", "final_ms" } do
    local list = done[name]
    done[name] = { p50 = percentile(list, 0.5), p99 = percentile(list, 0.99), max = percentile(list, 1) }
  end
  return json.encode(done)
end

local function read(session, fed)
  for event in function() return session:next() end do
    if event.type == "partial" then
      seen.partials = seen.partials + 1
      -- From when the last of the sound that it is of was handed to the recogniser.
      local at = event.until_ms == fed.ms and fed.at or fed.before
      seen.partial_ms[#seen.partial_ms + 1] = clock.mono_ms() - at
    elseif event.type == "final" then
      seen.finals = seen.finals + 1
      if event.flushed and fed.flushed_ms then seen.final_ms[#seen.final_ms + 1] = clock.mono_ms() - fed.flushed_ms end
    elseif event.type == "error" then
      seen.failed, seen.why = seen.failed + 1, event.text
    end
  end
end

local function begin_call(i)
  local session, fed = nil, { ms = 0, at = 0, before = 0 }
  local leg = assert(media.leg("n1.1", { id = "l" .. i, channel = "c" .. i, on_media = function(kind, _, position)
    if kind == "speech" then seen.speech = seen.speech + 1 end
    if kind ~= "quiet" or position ~= QUIET_MS then return end
    fed.flushed_ms = clock.mono_ms()
    session:flush()
  end }))
  assert(leg:play(1, played, true))
  session = recogniser.open(world, { rate = rate, language = "en" }, { target })
  task.spawn(read, session, fed)
  assert(leg:listen{ rate = rate, batch_ms = BATCH_MS, on_audio = function(pcm, _, dropped)
    seen.batches, seen.dropped = seen.batches + 1, seen.dropped + dropped
    fed.ms, fed.before, fed.at = fed.ms + #pcm / 2 / rate * 1000, fed.at, clock.mono_ms()
    session:feed(pcm)
  end })
end

for i = 1, count do
  begin_call(i)
  if i % A_TURN == 0 then task.sleep(20) end
end
return 0
