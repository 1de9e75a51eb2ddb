-- SPDX-License-Identifier: Apache-2.0
--- OpenAI's speech and transcription, and servers that speak like it. Form: the openai package, resources/audio.
local failure = require "plugins.ai_openai.failure"
local fields = require "ai.fields"
local http = require "plugins.ai_openai.http"
local json = require "core.json"
local multipart = require "speech.multipart"
local wav = require "speech.wav"

local RATE = 24000  -- of its pcm, always

-- -- text to speech ----------------------------------------------------------------------------------------------------------

local synthesiser = { transport = "http" }  -- it tells no times
local reader = {}
reader.__index = reader

function synthesiser.request(say, target)
  local flags = target.flags or {}
  local body = { model = target.model, input = say.text, voice = say.voice or flags.voice or "alloy", response_format = "pcm" }
  if say.speed ~= 1 then body.speed = math.max(0.25, math.min(4, say.speed)) end
  body.instructions = flags.instructions
  local asked = http.request(target, "/audio/speech", body, "json")
  asked.framing, asked.headers.accept = "bytes", nil
  return asked
end

--- What comes is pcm, or a WAV file from servers that know no pcm; an error may come with status 200 from some.
function synthesiser.reader(_, _, headers)
  local kind = fields.header(headers, "content-type") or ""
  local self = setmetatable({ samples = wav.samples() }, reader)
  if kind:find("json", 1, true) then self.json = {} end
  if kind:find("wav", 1, true) then self.wav = wav.reader() end
  return self
end

function reader:feed(_, data)
  if self.json then
    if #self.json < 64 then self.json[#self.json + 1] = data end
    return {}
  end
  local pcm, rate
  if self.wav then
    pcm, rate = self.wav:feed(data)
    if not pcm then return { { type = "error", class = "protocol", text = rate } } end
  else
    pcm, rate = self.samples(data), RATE
  end
  return pcm ~= "" and { { type = "audio", pcm = pcm, rate = rate } } or {}
end

function reader:finish()
  if self.json then return { failure.as_event(failure.of(200, {}, table.concat(self.json))) } end
  if self.wav and not self.wav:whole() then return { { type = "error", class = "protocol", text = "the sound was cut" } } end
  return { { type = "end" } }
end

synthesiser.failure = failure.of

-- -- speech to text ----------------------------------------------------------------------------------------------------------

local recogniser = { transport = "http" }

-- Words that are likely: what goes into the prompt is what the transcription leans to.
local function prompt_of(options)
  local list = {}
  for _, phrase in ipairs(options.phrases) do list[#list + 1] = phrase end
  for _, phrase in ipairs(options.expect.phrases or {}) do list[#list + 1] = phrase end
  if options.expect.kind == "digits" then list[#list + 1] = "digits, written as 0 1 2 3 4 5 6 7 8 9" end
  local text = table.concat(list, ", ")
  return text ~= "" and text:sub(1, 800) or nil
end

function recogniser.request(pcm, options, target)
  -- whisper-1 tells words and their times, the newer models json alone.
  local verbose = target.flags and target.flags.word_times
  if verbose == nil then verbose = target.model == "whisper-1" end
  local form = { { "model", target.model }, { "response_format", verbose and "verbose_json" or "json" }, { "language", options.language:match("^%a+") or "en" } }
  if verbose then form[#form + 1] = { "timestamp_granularities[]", "word" } end
  local prompt = prompt_of(options)
  if prompt then form[#form + 1] = { "prompt", prompt } end
  local asked = http.request(target, "/audio/transcriptions", {}, "json")
  asked.body, asked.headers["content-type"] = multipart.form(form, { name = "file", filename = "speech.wav", type = "audio/wav", bytes = wav.file(pcm, options.rate) })
  return asked
end

local function ms(value) return type(value) == "number" and value == value and math.max(0, math.min(value, 1e6)) * 1000 or 0 end

--- Words as whisper tells them, in seconds.
function recogniser.words(list)
  local words = {}
  for _, word in ipairs(list) do
    local text = fields.text(word, "word")
    if text and text:find("%S") then
      local from = ms(word.start)
      words[#words + 1] = { text = text:match("^%s*(.-)%s*$"), from_ms = from, to_ms = math.max(from, ms(word["end"])), confidence = tonumber(word.probability) }
    end
  end
  return words
end

function recogniser.whole(status, headers, body)
  if status < 200 or status > 299 then return { failure.as_event(failure.of(status, headers, body)) } end
  local decoded = json.decode(body)
  local text = fields.text(decoded, "text")
  if not text then
    if failure.object(decoded) then return { failure.as_event(failure.of(status, headers, body)) } end
    return { { type = "error", class = "protocol", text = "the answer holds no text" } }
  end
  return { { type = "final", text = text:match("^%s*(.-)%s*$"), words = recogniser.words(fields.object(decoded, "words")) } }
end

return { name = "openai", config = {}, synthesiser = synthesiser, recogniser = recogniser }
