-- SPDX-License-Identifier: Apache-2.0
--- The local synthesiser: espeak-ng, run as a program (GPL: never linked). It needs no network and no key.
--- A synthesiser plugin: name, config, render(text, voice) -> WAV bytes | nil, err. render may wait.
local process = require "core.process"

local speech_espeak = {
  name = "espeak-ng",
  config = {},  -- the voice is the platform's setting speech.voice
}

function speech_espeak.render(text, voice)
  -- The text goes in by stdin, so that no text is ever taken for an option.
  local done, err = process.run{
    argv = { "espeak-ng", "--stdout", "-v", voice or "en-us", "-s", "165" }, input = text, timeout_s = 15, output_limit = 32 * 1024 * 1024,
  }
  if not done then return nil, err end
  if done.status ~= 0 then
    return nil, { code = "io", text = "espeak-ng: " .. (done.errors:match("^[^\n]*") or "failed") }
  end
  return done.output
end

return speech_espeak
