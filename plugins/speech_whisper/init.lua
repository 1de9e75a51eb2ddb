-- SPDX-License-Identifier: Apache-2.0
--- The server of whisper.cpp (examples/server), on premises: a WAV file in, text with the times of its words out. Its url is the base.
local failure = require "speech.failure"
local fields = require "ai.fields"
local json = require "core.json"
local multipart = require "speech.multipart"
local openai = require "plugins.speech_openai"
local wav = require "speech.wav"

local recogniser = { transport = "http" }

function recogniser.request(pcm, options, target)
  local form = { { "response_format", "verbose_json" }, { "temperature", "0.0" }, { "language", options.language:match("^%a+") or "en" } }
  local list = {}
  for _, phrase in ipairs(options.phrases) do list[#list + 1] = phrase end
  for _, phrase in ipairs(options.expect.phrases or {}) do list[#list + 1] = phrase end
  if #list > 0 then form[#form + 1] = { "prompt", table.concat(list, ", "):sub(1, 800) } end
  local body, kind = multipart.form(form, { name = "file", filename = "speech.wav", type = "audio/wav", bytes = wav.file(pcm, options.rate) })
  return { method = "POST", url = target.url:gsub("/+$", "") .. (target.flags and target.flags.path or "/inference"), body = body,
    headers = { ["content-type"] = kind, authorization = target.key and target.key ~= "" and "Bearer " .. target.key or nil } }
end

local function words_of(decoded)
  local all = {}
  for _, segment in ipairs(fields.object(decoded, "segments")) do
    for _, word in ipairs(openai.recogniser.words(fields.object(segment, "words"))) do all[#all + 1] = word end
  end
  return all
end

-- "[BLANK_AUDIO]", "(music)": what it writes where nobody speaks.
local function said(text)
  return text:gsub("%[[%u_ ]+%]", " "):gsub("%([%l ]+%)", " "):gsub("%s+", " "):match("^%s*(.-)%s*$")
end

function recogniser.whole(status, headers, body)
  local decoded = json.decode(body)
  local wrong = fields.object(decoded, "error")
  if status < 200 or status > 299 or decoded and type(decoded) == "table" and decoded.error then
    -- Its own mistakes come with status 200 in some versions.
    local class = status >= 200 and status <= 299 and "server" or nil
    return { failure.of(status, headers, { class = class, text = fields.text(decoded, "error") or fields.text(wrong, "message") }) }
  end
  local text = fields.text(decoded, "text")
  if not text then return { { type = "error", class = "protocol", text = "the answer holds no text" } } end
  return { { type = "final", text = said(text), words = words_of(decoded) } }
end

return { name = "whisper.cpp", config = {}, recogniser = recogniser }
