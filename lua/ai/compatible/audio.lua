-- SPDX-License-Identifier: Apache-2.0
--- POST /v1/audio/speech by the synthesiser that speaks on calls; /v1/audio/transcriptions and /translations say that there is no recogniser.
local body = require "ai.compatible.body"
local chat = require "ai.compatible.chat"
local errors = require "ai.compatible.errors"
local problem = require "lib.problem"
local speech = require "speech"

local audio = {}

local MOST_CHARACTERS = 4096
local KNOWN = { model = true, input = true, voice = true, instructions = true, response_format = true, speed = true, stream_format = true }

-- Names that their clients always send; our synthesiser has voices by language.
local THEIR_VOICES = {}
for name in ("alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse"):gmatch("%a+") do THEIR_VOICES[name] = true end

local function voice_of(given)
  local voice = body.value(given, "voice")
  if voice == nil or THEIR_VOICES[voice] then return nil end
  -- The name is handed to a program, which would take a path for a file of voices.
  if type(voice) ~= "string" or not voice:find("^%l%l%l?$") and not voice:find("^%l%l%l?%-[%w%-]+$") or #voice > 30 then
    errors.refuse("voice", "'voice' must be a language like en-gb or de, or one of the names that OpenAI's voices have.")
  end
  return voice
end

--- Answers a request of /v1/audio/speech: a WAV file.
function audio.speak(ctx)
  local given = ctx.body
  for name in pairs(given) do
    if not KNOWN[name] then errors.refuse(tostring(name):sub(1, 64), "Unrecognized request argument supplied: " .. tostring(name):sub(1, 64), "unknown_parameter") end
  end
  local text = body.text(given, "input")
  if not text or text:find("^%s*$") then errors.refuse("input", "'input' must be a text that is not empty.", "missing_required_parameter") end
  local _, inner = text:gsub("[\128-\191]", "")
  if #text - inner > MOST_CHARACTERS then errors.refuse("input", ("'input' has more than %d characters."):format(MOST_CHARACTERS), "string_above_max_length") end
  local format = body.value(given, "response_format")
  if format ~= nil and format ~= "wav" then errors.refuse("response_format", "'response_format' must be wav, or be left out.", "unsupported_value") end
  if body.value(given, "stream_format") == "sse" then errors.refuse("stream_format", "'stream_format' must be audio, or be left out.", "unsupported_value") end
  local speed = body.number(given, "speed", 0.25, 4)
  if speed and speed ~= 1 then errors.refuse("speed", "'speed' must be 1, or be left out.", "unsupported_value") end
  local voice = voice_of(given)
  local wav, err = speech.wav(ctx.tenant, { text = text, voice = voice }, { purpose = "api", trace = ctx.trace })
  if not wav then
    if voice and err.class == "not_found" then errors.refuse("voice", ("There is no voice '%s'."):format(voice)) end
    problem.raise(503, "no_speech", "No synthesiser could speak this. Try again later.", { headers = { ["Retry-After"] = "5" } })
  end
  local headers = chat.headers(ctx)
  headers["Content-Type"] = "audio/wav"
  return 200, wav, headers
end

--- Refuses what needs a recogniser.
function audio.no_recogniser()
  problem.raise(501, "no_recogniser", "This installation has no speech recogniser yet, so nothing can be transcribed or translated.",
    { headers = { ["X-Should-Retry"] = "false" } })
end

return audio
