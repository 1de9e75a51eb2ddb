-- SPDX-License-Identifier: Apache-2.0
--- Text to audio through the synthesiser plugins, in the configured order; what was rendered is kept by text and voice.
local blob = require "core.blob"
local config = require "core.config"
local crypto = require "core.crypto"
local log = require "core.log"
local media = require "core.media"
local metrics = require "core.metrics"
local promise = require "lib.promise"
local task = require "core.task"

local speech = {}

local MEMORY_SECONDS = 1200          -- of audio kept in this worker: about 19 MB
local plugins = {}
local plugin_of = { ["espeak-ng"] = "plugins.speech_espeak" }

local function order()
  if #plugins == 0 then
    for _, name in ipairs(config.speech and config.speech.say or { "espeak-ng" }) do
      plugins[#plugins + 1] = require(plugin_of[name] or ("plugins.speech_" .. name))
    end
  end
  return plugins
end

local kept, oldest, seconds = {}, {}, 0

local function keep(key, audio)
  kept[key] = audio
  oldest[#oldest + 1] = key
  seconds = seconds + audio:seconds()
  while seconds > MEMORY_SECONDS and #oldest > 1 do
    local gone = table.remove(oldest, 1)
    seconds = seconds - kept[gone]:seconds()
    kept[gone] = nil
  end
end

-- XML-like markup and control bytes would be spoken or worse.
local function clean(text)
  return (text:gsub("[%c]", " "):gsub("[<>&]", " "))
end

local function render(key, text, voice)
  local last
  local stored = blob.get("speech/" .. key .. ".wav")
  if stored then
    local audio = media.wav(stored)
    if audio then return audio end
  end
  for _, plugin in ipairs(order()) do
    local started = require("core.clock").mono_ms()
    local wav, err = plugin.render(text, voice)
    if wav then
      local audio
      audio, err = media.wav(wav)
      if audio then
        metrics.observe("speech_render_seconds", { plugin = plugin.name }, (require("core.clock").mono_ms() - started) / 1000, "time to render a prompt")
        task.spawn(blob.put, "speech/" .. key .. ".wav", wav)
        return audio
      end
    end
    last = err
    log.warn("speech.not_rendered", { plugin = plugin.name, text = err.text })
  end
  return nil, last or { code = "failed", text = "no synthesiser is configured" }
end

-- A program is run for each text, and all tenants share the few that may run: one tenant has two of them at most.
local AT_ONCE = 2
local turns = {}  -- tenant id -> { running, waiting = { resume... } }

local function turn_begin(tenant)
  local turn = turns[tenant.id] or { running = 0, waiting = {} }
  turns[tenant.id] = turn
  if turn.running < AT_ONCE then
    turn.running = turn.running + 1
  else
    task.wait(function(resume) turn.waiting[#turn.waiting + 1] = resume end)
  end
end

local function turn_end(tenant)
  local turn = turns[tenant.id]
  local following = table.remove(turn.waiting, 1)
  if following then return following() end
  turn.running = turn.running - 1
  if turn.running == 0 then turns[tenant.id] = nil end
end

local flights = {}

--- @return audio | nil, err
function speech.audio(tenant, text, voice)
  text = clean(text)
  if text:match("^%s*$") then return media.pcm(("\0"):rep(320)) end
  voice = voice or config.speech and config.speech.voice or "en-us"
  -- The tenant's key is in the name: what one tenant's caller was told is nothing another can look for.
  local key = crypto.hex(crypto.hmac(tenant.key, voice .. "\0" .. text)):sub(1, 40)
  if kept[key] then return kept[key] end
  if flights[key] then return flights[key]:wait() end
  local flight = promise.new()
  flights[key] = flight
  turn_begin(tenant)
  local ok, audio, err = pcall(render, key, text, voice)
  turn_end(tenant)
  if not ok then audio, err = nil, { code = "io", text = tostring(audio) } end
  flights[key] = nil
  if audio then keep(key, audio) end
  flight:give(audio, err)
  return audio, err
end

--- The same as a WAV file as the synthesiser made it, at its own rate: WAV bytes | nil, err. Nothing is kept.
function speech.wav(tenant, text, voice)
  text, voice = clean(text), voice or config.speech and config.speech.voice or "en-us"
  local last = { code = "failed", text = "no synthesiser is configured" }
  turn_begin(tenant)
  for _, plugin in ipairs(order()) do
    local ok, wav, err = pcall(plugin.render, text, voice)
    if ok and wav then
      turn_end(tenant)
      return wav
    end
    last = ok and err or { code = "failed", text = tostring(wav) }
    log.warn("speech.not_rendered", { plugin = plugin.name, text = last.text })
  end
  turn_end(tenant)
  return nil, last
end

--- A tone, such as the beep before a recording.
function speech.tone(hz, ms)
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
function speech.ringing()
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

return speech
