-- SPDX-License-Identifier: Apache-2.0
--- Piper's own HTTP server (piper.http_server), on premises. It answers a text with a WAV file at the rate of its voice. The base is its url;
--- flags.path where it is another: servers up to 1.3 take texts at "/", newer ones at "/synthesize".
local failure = require "speech.failure"
local fields = require "ai.fields"
local json = require "core.json"
local wav = require "speech.wav"

local synthesiser = { transport = "http", whole = true }
local reader = {}
reader.__index = reader

function synthesiser.request(say, target)
  local flags = target.flags or {}
  local body = { text = say.text, voice = say.voice or flags.voice, speaker = flags.speaker }
  if say.speed ~= 1 then body.length_scale = 1 / math.max(0.5, math.min(2, say.speed)) end
  return {
    method = "POST", framing = "bytes", url = target.url:gsub("/+$", "") .. (flags.path or "/synthesize"), body = json.encode(body),
    headers = { ["content-type"] = "application/json", authorization = target.key and target.key ~= "" and "Bearer " .. target.key or nil },
  }
end

function synthesiser.reader() return setmetatable({ wav = wav.reader() }, reader) end

function reader:feed(_, data)
  local pcm, rate = self.wav:feed(data)
  if not pcm then return { { type = "error", class = "protocol", text = rate } } end
  return pcm ~= "" and { { type = "audio", pcm = pcm, rate = rate } } or {}
end

function reader:finish()
  if not self.wav:whole() then return { { type = "error", class = "protocol", text = "the sound was cut" } } end
  return { { type = "end" } }
end

--- Flask answers in HTML, or { error }.
function synthesiser.failure(status, headers, body)
  return failure.of(status, headers, { text = fields.text(json.decode(body or ""), "error") })
end

return { name = "piper", config = {}, synthesiser = synthesiser }
