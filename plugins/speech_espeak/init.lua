-- SPDX-License-Identifier: Apache-2.0
--- The local synthesiser: espeak-ng, run as a program (GPL: never linked). It needs no network and no key.
--- It renders sentence by sentence: each is there in a few hundredths of a second, and where it ends is known.
local sentences = require "kb.sentences"
local wav = require "speech.wav"

local speech_espeak = {
  name = "espeak-ng",
  config = {},
}

local WORDS_A_MINUTE = 165

local function argv_of(voice, speed)
  -- The text goes in by stdin, so that no text is ever taken for an option.
  return { "espeak-ng", "--stdout", "-v", voice or "en-us", "-s", tostring(math.floor(WORDS_A_MINUTE * math.max(0.5, math.min(2, speed or 1)))) }
end

local function fault_of(done)
  if done.status == 0 then return nil end
  local text = done.errors:match("^[^\n]+") or "failed"
  -- A voice that a script has made up is no fault of the program's, or a few of them would open its breaker.
  return { type = "error", class = text:find("voice does not exist", 1, true) and "not_found" or "server", text = "espeak-ng: " .. text }
end

local synthesiser = { transport = "process", marks = "sentence" }
speech_espeak.synthesiser = synthesiser

local LEAST_BYTES = 25   -- "Yes." alone is not worth a program
local PIECE_MOST = 400   -- of a sentence that does not end

--- The sentences, each to be rendered by itself.
function synthesiser.parts(say)
  local list = {}
  for _, sentence in ipairs(sentences.of(say.text)) do
    -- espeak-ng would read markup of its own out of these.
    sentence = sentence:gsub("[<>&%[%]]", " ")
    while #sentence > PIECE_MOST do
      local at = sentence:sub(1, PIECE_MOST):match("^.*()%s") or PIECE_MOST
      list[#list + 1] = sentence:sub(1, at)
      sentence = sentence:sub(at + 1)
    end
    if #list > 0 and #list[#list] < LEAST_BYTES then
      list[#list] = list[#list] .. " " .. sentence
    elseif sentence:find("%S") then
      list[#list + 1] = sentence
    end
  end
  return list
end

-- Names go into argv after "-v": letters, digits and what voices are made of.
local function voice_of(say, target)
  local voice = say.voice or target.flags and target.flags.voice or say.language ~= "en" and say.language or "en-us"
  return voice:match("^%w[%w_+-]*$") or "en-us"
end

function synthesiser.command(part, say, target)
  return { argv = argv_of(voice_of(say, target), say.speed), input = part }
end

function synthesiser.heard(done, part, at_ms)
  local fault = fault_of(done)
  if fault then return { fault } end
  local pcm, rate = wav.reader():feed(done.output)
  if not pcm then return { { type = "error", class = "protocol", text = rate } } end
  if not rate or pcm == "" then return {}, 0 end
  local ms = #pcm / 2 / rate * 1000
  return { { type = "mark", kind = "sentence", text = part, from_ms = at_ms, to_ms = at_ms + ms }, { type = "audio", pcm = pcm, rate = rate } }, ms
end

return speech_espeak
