-- SPDX-License-Identifier: Apache-2.0
--- Deepgram's streaming recognition (Nova, /v1/listen). Form: the @deepgram/sdk package, listen/v1.
---
--- A part that is_final will not change, but the utterance goes on until speech_final, UtteranceEnd, or the answer to Finalize (from_finalize):
--- the parts are joined here, and are the stable beginning of what is partial until then.
local failure = require "speech.failure"
local fields = require "ai.fields"
local json = require "core.json"

local BASE = "wss://api.deepgram.com"
local KEEPALIVE_MS = 4000      -- after 10 s without sound or sign of life it closes with NET-0001
local UTTERANCE_END_MS = 1000  -- the least it takes
local KEYTERMS_MOST = 50
local UTTERANCE_BYTES = 64 * 1024  -- of its text; each part and word counts for so much besides:
local PIECE_BYTES = 16
local QUERY_MOST = 1800        -- bytes; a WebSocket's URL cannot be much longer (core/io/ws_client.h)

local recogniser = { transport = "ws" }
local reader = {}
reader.__index = reader

local function encode(text) return (text:gsub("[^%w_.~-]", function(c) return ("%%%02X"):format(c:byte()) end)) end

local function query_of(options, target)
  local flags = target.flags or {}
  local list = { { "model", target.model or "nova-3" }, { "encoding", "linear16" }, { "sample_rate", options.rate }, { "channels", 1 }, { "language", options.language },
    { "interim_results", "true" }, { "punctuate", "true" }, { "endpointing", options.endpointing_ms }, { "utterance_end_ms", UTTERANCE_END_MS }, { "vad_events", "true" } }
  if options.expect.kind == "digits" then list[#list + 1] = { "numerals", "true" } end
  local parts = {}
  for i, pair in ipairs(list) do parts[i] = pair[1] .. "=" .. encode(tostring(pair[2])) end
  -- Nova 3 takes keyterms; who has another model says so.
  if flags.keyterm ~= false then
    local count, bytes = 0, #table.concat(parts, "&")
    for _, phrases in ipairs{ options.expect.phrases or {}, options.phrases } do
      for _, phrase in ipairs(phrases) do
        local part = "keyterm=" .. encode(tostring(phrase))
        bytes = bytes + 1 + #part
        if count == KEYTERMS_MOST or bytes > QUERY_MOST then return table.concat(parts, "&") end
        count, parts[#parts + 1] = count + 1, part
      end
    end
  end
  return table.concat(parts, "&")
end

function recogniser.request(options, target)
  local base = (target.url or BASE):gsub("/+$", ""):gsub("^http", "ws")
  return { url = base .. "/v1/listen?" .. query_of(options, target), headers = { Authorization = "Token " .. (target.key or "") } }
end

function recogniser.audio(pcm) return pcm, true end
function recogniser.flush() return '{"type":"Finalize"}' end
function recogniser.finish() return '{"type":"CloseStream"}' end
function recogniser.keepalive() return '{"type":"KeepAlive"}', KEEPALIVE_MS end

--- A handshake that was refused.
function recogniser.refused(err) return failure.of(err.status, {}, { text = err.text }) end

function recogniser.reader() return setmetatable({ parts = {}, words = {}, interim = "", bytes = 0 }, reader) end

--- Is there anything that waits for its end?
function reader:pending() return #self.parts > 0 or self.interim ~= "" end

local function ms(seconds) return type(seconds) == "number" and seconds == seconds and math.max(0, math.min(seconds, 1e6)) * 1000 or 0 end

local function add_words(self, alternative)
  for _, word in ipairs(fields.object(alternative, "words")) do
    local text = fields.text(word, "punctuated_word") or fields.text(word, "word")
    if text then
      local from = ms(word.start)
      self.bytes = self.bytes + #text + PIECE_BYTES
      self.words[#self.words + 1] = { text = text, from_ms = from, to_ms = math.max(from, ms(word["end"])), confidence = type(word.confidence) == "number" and word.confidence or nil }
    end
  end
end

local function joined(self, more)
  local text = table.concat(self.parts, " ")
  if more == "" then return text end
  return text == "" and more or text .. " " .. more
end

local function final_of(self, flushed)
  local sum, count = 0, #self.words
  for _, word in ipairs(self.words) do sum = sum + (word.confidence or 1) end
  local event = { type = "final", text = joined(self, ""), words = self.words, confidence = count > 0 and sum / count or nil, until_ms = self.until_ms, flushed = flushed or nil }
  self.parts, self.words, self.interim, self.told, self.bytes = {}, {}, "", nil, 0
  return event
end

local read = {}

function read.Results(self, message, events)
  local alternative = fields.object(fields.object(message, "channel"), "alternatives")[1]
  local text = fields.text(alternative, "transcript") or ""
  if message.is_final == true then
    if text ~= "" then self.parts[#self.parts + 1], self.bytes = text, self.bytes + #text + PIECE_BYTES end
    self.interim, self.until_ms = "", ms(message.start) + ms(message.duration)
    add_words(self, alternative)
    if message.from_finalize == true then
      events[#events + 1] = final_of(self, true)
      return
    end
    if message.speech_final == true and #self.parts > 0 then
      events[#events + 1] = final_of(self)
      events[#events + 1] = { type = "utterance_end" }
      return
    end
  else
    self.interim = text
  end
  if self.bytes + #self.interim > UTTERANCE_BYTES then
    events[#events + 1] = { type = "error", class = "protocol", text = "an utterance does not come to an end" }
    return
  end
  local whole = joined(self, self.interim)
  if whole ~= "" and (whole ~= self.told or message.is_final == true) then
    self.told = whole
    events[#events + 1] = { type = "partial", text = whole, stable = joined(self, ""), until_ms = ms(message.start) + ms(message.duration) }
  end
end

function read.SpeechStarted(_, message, events) events[#events + 1] = { type = "speech_began", at_ms = ms(message.timestamp) } end

function read.UtteranceEnd(self, _, events)
  if #self.parts == 0 then return end  -- its end was told by speech_final already
  events[#events + 1] = final_of(self)
  events[#events + 1] = { type = "utterance_end" }
end

local function wrong(_, message, events)
  local text = fields.text(message, "description") or fields.text(message, "err_msg") or fields.text(message, "message") or "the provider reported an error"
  events[#events + 1] = { type = "error", class = "server", text = fields.line(text, 300), code = fields.text(message, "code") or fields.text(message, "err_code") }
end
read.Error = wrong

--- Reads one message. Other types (Metadata, Warning) mean nothing to us.
function reader:feed(data, binary)
  local message = not binary and json.decode(data) or nil
  if type(message) ~= "table" then return { { type = "error", class = "protocol", text = "a message is no JSON object" } } end
  local events = {}
  local known = read[fields.text(message, "type") or ""]
  if known then known(self, message, events) elseif message.err_code or message.error then wrong(self, message, events) end
  return events
end

--- The connection has closed.
--- @param asked boolean  we had finished: then what was stable is said, and it is no failure
function reader:closed(err, asked)
  if asked then return #self.parts > 0 and { final_of(self) } or {} end
  local code = err.text:match("code (%d+)")
  -- 1008: what was sent is no sound; 1011: the server's fault, or nothing was sent to it.
  local class = code == "1008" and "bad_request" or code and "server" or err.code == "timeout" and "timeout" or "network"
  return { { type = "error", class = class, text = fields.line(err.text, 300), code = code } }
end

return { name = "deepgram", config = {}, recogniser = recogniser }
