-- SPDX-License-Identifier: Apache-2.0
--- ElevenLabs' text to speech, streamed over HTTP with the time of each character. Form: the elevenlabs-js package, resources/textToSpeech.
local crypto = require "core.crypto"
local failure = require "speech.failure"
local fields = require "ai.fields"
local json = require "core.json"
local wav = require "speech.wav"

local BASE = "https://api.elevenlabs.io"
local VOICE = "JBFqnCBsd6RMkjVDRZzb"  -- one of those that every account has
local WORD_BYTES = 200                -- what is longer is told as several
local RATES = { [8000] = true, [16000] = true, [22050] = true, [24000] = true, [44100] = true }

local synthesiser = { transport = "http", marks = "word" }
local reader = {}
reader.__index = reader

local function rate_of(say) return RATES[say.rate] and say.rate or 8000 end

function synthesiser.request(say, target)
  local flags = target.flags or {}
  local voice = say.voice or flags.voice or VOICE
  voice = voice:match("^[%w_-]+$") or VOICE  -- it becomes part of the path
  local body = { text = say.text, model_id = target.model }
  -- Only some models take a language, and the others refuse it.
  if flags.language_code then body.language_code = say.language:match("^%a+") end
  if say.speed ~= 1 then body.voice_settings = { speed = math.max(0.7, math.min(1.2, say.speed)) } end
  return {
    method = "POST", framing = "ndjson", body = json.encode(body),
    url = ("%s/v1/text-to-speech/%s/stream/with-timestamps?output_format=pcm_%d"):format(((target.url or BASE):gsub("/+$", "")), voice, rate_of(say)),
    headers = { ["content-type"] = "application/json", ["xi-api-key"] = target.key },
  }
end

function synthesiser.reader(say) return setmetatable({ rate = rate_of(say), samples = wav.samples(), word = "" }, reader) end

local function end_word(self, events)
  if self.word ~= "" then events[#events + 1] = { type = "mark", kind = "word", text = self.word, from_ms = self.word_from, to_ms = self.word_to } end
  self.word = ""
end

local function ms(seconds) return seconds == seconds and math.max(0, math.min(seconds, 1e6)) * 1000 or 0 end

-- Characters with their times become words. The times of a stream over HTTP are those of the whole.
local function read_times(self, found, events)
  local characters, from, to = fields.object(found, "characters"), fields.object(found, "character_start_times_seconds"), fields.object(found, "character_end_times_seconds")
  for i, character in ipairs(characters) do
    if type(character) ~= "string" or type(from[i]) ~= "number" or type(to[i]) ~= "number" then return end
    if character:find("^%s*$") then
      end_word(self, events)
    else
      if #self.word + #character > WORD_BYTES then end_word(self, events) end
      if self.word == "" then self.word_from = ms(from[i]) end
      self.word, self.word_to = self.word .. character, ms(to[i])
    end
  end
end

function reader:feed(_, data)
  if not data:find("%S") then return {} end
  local decoded = json.decode(data)
  if type(decoded) ~= "table" then return { { type = "error", class = "protocol", text = "a line is no JSON object" } } end
  if decoded.detail then return { synthesiser.failure(200, {}, data) } end
  local events = {}
  read_times(self, fields.object(decoded, "alignment"), events)
  local audio = fields.text(decoded, "audio_base64")
  if audio and audio ~= "" then
    local bytes = crypto.unb64(audio)
    if not bytes then return { { type = "error", class = "protocol", text = "the sound is no base64" } } end
    local pcm = self.samples(bytes)
    if pcm ~= "" then events[#events + 1] = { type = "audio", pcm = pcm, rate = self.rate } end
  end
  return events
end

function reader:finish()
  local events = {}
  end_word(self, events)
  events[#events + 1] = { type = "end" }
  return events
end

local CLASS_OF_WORD = {
  quota_exceeded = "quota", invalid_api_key = "auth", missing_permissions = "auth", needs_authorization = "auth", invalid_subscription = "auth", voice_not_found = "not_found",
  model_not_found = "not_found", max_character_limit_exceeded = "too_long", text_too_long = "too_long", too_many_concurrent_requests = "rate", rate_limit_exceeded = "rate",
  concurrent_limit_exceeded = "rate", system_busy = "overload", content_against_policy = "refused",
}

--- { detail = { status, message } }, or of a body that is not valid { detail = { { loc, msg, type } } }.
function synthesiser.failure(status, headers, body)
  local detail = fields.object(json.decode(body or ""), "detail")
  local word = fields.text(detail, "code") or fields.text(detail, "status")
  local text = fields.text(detail, "message") or fields.text(detail[1], "msg") or fields.text(json.decode(body or ""), "detail")
  return failure.of(status, headers, { class = CLASS_OF_WORD[word or ""] or (status == 200 and "server" or nil), text = text, code = word })
end

return { name = "elevenlabs", config = {}, synthesiser = synthesiser }
