-- SPDX-License-Identifier: Apache-2.0
--- Gemini Live (BidiGenerateContent) over WebSocket. Form: the @google/genai package, live.
---
--- Sound is 16 kHz up and 24 kHz down. The server tells turns apart and breaks off by itself, and thinks that it is heard at the pace of speech:
--- there is no message to break off or to cut what was said, so what is not wanted any more is only left aside here. A reply lasts until turnComplete, a
--- call's result and what is said of it included. Connections end after some ten minutes, with a warning (goAway); a handle takes the session along.
---
--- Flags of a target, all of them optional: voice, language_code = true for models that take one, thinking = "MINIMAL" | "LOW" | ...,
--- history_config = false for models that do not know it, max_tokens.
local crypto = require "core.crypto"
local failure = require "plugins.ai_gemini.failure"
local fields = require "ai.fields"
local json = require "core.json"
local realtime_usage = require "speech.realtime_usage"
local usage_of = require "plugins.realtime_gemini.usage"

local BASE = "https://generativelanguage.googleapis.com"
local PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
local UP, DOWN = 16000, 24000
local VOICE = "Kore"
local TEXT_BYTES = 500
local GO_ON = "Your answer breaks off there. Go on with exactly the next word, and repeat nothing of it."

local realtime = { tokens_a_second = 25 }
local codec = {}
codec.__index = codec

function realtime.request(_, target)
  local base = (target.url or BASE):gsub("/+$", ""):gsub("/v1beta$", ""):gsub("^http", "ws")
  return { url = base .. PATH, headers = { ["x-goog-api-key"] = target.key or "" } }
end

--- A handshake that was refused.
function realtime.refused(err)
  local found = failure.of(err.status, {}, "")
  found.type, found.text = "error", fields.line(err.text, TEXT_BYTES)
  return found
end

function realtime.connection(options, target, handle)
  return setmetatable({ options = options, flags = target.flags or {}, model = target.model or "", input = UP, one_reply = true, handle = handle, replies = 0, turns = 0 }, codec)
end

-- -- what is said to it ------------------------------------------------------------------------------------------------------------------------

local function declarations_of(list)
  local declarations = json.array{}
  for i, tool in ipairs(list) do
    local parameters = tool.parameters
    -- An object of no properties is refused; a call without parameters has none.
    if parameters and parameters.type == "object" and next(parameters.properties or {}) == nil then parameters = nil end
    declarations[i] = { name = tool.name, description = tool.description, parametersJsonSchema = parameters }
  end
  return declarations
end

function codec:opened()
  local options, flags = self.options, self.flags
  local setup = {
    model = "models/" .. self.model:gsub("^models/", ""),
    generationConfig = {
      responseModalities = json.array{ "AUDIO" }, maxOutputTokens = flags.max_tokens, thinkingConfig = flags.thinking and { thinkingLevel = flags.thinking } or nil,
      speechConfig = { voiceConfig = { prebuiltVoiceConfig = { voiceName = options.voice or flags.voice or VOICE } }, languageCode = flags.language_code and options.language or nil },
    },
    systemInstruction = options.instructions and options.instructions ~= "" and { parts = json.array{ { text = options.instructions } } } or nil,
    tools = #options.tools > 0 and json.array{ { functionDeclarations = declarations_of(options.tools) } } or nil,
    realtimeInputConfig = { automaticActivityDetection = { silenceDurationMs = options.silence_ms or 500 }, activityHandling = "START_OF_ACTIVITY_INTERRUPTS" },
    inputAudioTranscription = {}, outputAudioTranscription = {},
    sessionResumption = { handle = self.handle },
    -- Without it a session with sound ends after a quarter of an hour.
    contextWindowCompression = { slidingWindow = {} },
  }
  if flags.history_config ~= false and not self.handle then setup.historyConfig = { initialHistoryInClientContent = true } end
  return { json.encode{ setup = setup } }
end

-- What was called and what it gave is told in words: a history with calls of another connection is not taken.
local function result_of(call, text, is_error) return ("[%s(%s) %s: %s]"):format(call.name, call.arguments, is_error and "failed" or "gave", text or "") end

local function contents_of(messages)
  local contents, calls = json.array{}, {}
  local function add(role, text)
    if text == nil or text == "" then return end
    local last = contents[#contents]
    if not last or last.role ~= role then
      last = { role = role, parts = json.array{} }
      contents[#contents + 1] = last
    end
    last.parts[#last.parts + 1] = { text = text }
  end
  for _, message in ipairs(messages) do
    for _, call in ipairs(message.tool_calls or {}) do calls[call.id] = call end
    if message.role == "tool" then
      local call = calls[message.tool_call_id] or { name = "a tool", arguments = "" }
      add("user", result_of(call, message.text, message.is_error))
    else
      add(message.role == "assistant" and "model" or "user", message.text)
    end
  end
  return contents
end

local function typed(text) return json.encode{ realtimeInput = { text = text } } end

function codec:begun(messages, owes)
  local list, before, asked = {}, contents_of(messages), owes == "broken" and GO_ON or nil
  -- What is sent as history is not answered: the last of it is said anew.
  local last = before[#before]
  if owes == "answer" and last and last.role == "user" then
    asked = table.remove(last.parts).text
    if #last.parts == 0 then table.remove(before) end
  end
  if not self.handle then
    if self.flags.history_config ~= false then
      -- It waits for this even when there is nothing.
      list[1] = json.encode{ clientContent = { turns = before, turnComplete = true } }
    elseif #before > 0 then
      list[1] = json.encode{ clientContent = { turns = before, turnComplete = false } }
    end
  end
  if asked then
    self.asked = true
    list[#list + 1] = typed(asked)
  end
  return list
end

function codec:audio(bytes) return { json.encode{ realtimeInput = { audio = { data = crypto.b64(bytes), mimeType = "audio/pcm;rate=" .. UP } } } } end

function codec:text(text)
  self.asked = true
  return { typed(text) }
end

function codec:tool_result(call, text, is_error, known)
  self.asked = self.asked or not known or not self.reply
  if not known then return { typed(result_of(call, text, is_error)) } end
  return { json.encode{ toolResponse = { functionResponses = json.array{ { id = call.id, name = call.name, response = { [is_error and "error" or "output"] = text } } } } } }
end

function codec:cancel() return {} end

-- -- what it says ---------------------------------------------------------------------------------------------------------------------------------

-- His turn's words are all there.
local function end_turn(self, events)
  local turn = self.turn
  if not turn then return end
  self.turn = nil
  if turn.text ~= "" then events[#events + 1] = { type = "user_text", id = turn.id, text = turn.text, final = true } end
end

local function end_speech(self, events)
  if not self.speaking then return end
  self.speaking = false
  events[#events + 1] = { type = "speech_ended" }
end

local function begin_speech(self, events, words)
  if self.speaking then return end
  self.speaking, self.asked = true, true
  end_turn(self, events)
  self.turns = self.turns + 1
  self.turn = { id = self.turns, text = "" }
  events[#events + 1] = { type = "speech_started", id = self.turns, words = words }
end

-- The reply that this belongs to: what comes behind its end, and was asked for by nobody, is of the last.
local function reply_of(self, events)
  if self.reply then return self.reply end
  if not self.asked and self.replies > 0 then return self.replies end
  self.asked, self.called = false, false
  self.replies = self.replies + 1
  self.reply = self.replies
  end_speech(self, events)
  events[#events + 1] = { type = "reply", key = self.reply }
  return self.reply
end

local function heard(self, told, events)
  local text = fields.text(told, "text") or ""
  if text ~= "" then
    -- Words may come behind the answer's beginning: they are of the turn that it answers, until that is over.
    if not self.turn then
      self.speaking = false
      begin_speech(self, events, true)
    end
    self.turn.text = self.turn.text .. text
    events[#events + 1] = { type = "user_text", id = self.turn.id, text = self.turn.text }
  end
  if told.finished == true then end_turn(self, events) end
end

local function part_of(self, part, events)
  local data = fields.object(part, "inlineData")
  local sound = fields.text(data, "data")
  if not sound or sound == "" then return end
  local bytes = crypto.unb64(sound)
  if not bytes then
    events[#events + 1] = { type = "error", class = "protocol", text = "the sound is no base64" }
    return
  end
  local rate = tonumber((fields.text(data, "mimeType") or ""):match("rate=(%d+)")) or DOWN
  if rate < 8000 or rate > 48000 then
    events[#events + 1] = { type = "error", class = "protocol", text = "the sound is of no rate that is known here" }
    return
  end
  local key = reply_of(self, events)
  events[#events + 1] = { type = "audio", key = key, bytes = bytes, form = rate }
end

local function finish(self, content, events)
  -- Not of the turn that has just begun with an interruption.
  if not self.speaking then end_turn(self, events) end
  local key = self.reply
  if not key then return end
  local reason = self.given_up and "interrupted" or self.called and "tool" or "end"
  local why = fields.text(content, "turnCompleteReason") or ""
  if why:find("PROHIBITED") or why:find("SAFETY") or why:find("REJECTED") then reason = "refused" elseif why:find("MALFORMED") then reason = "failed" end
  events[#events + 1] = { type = "audio_end", key = key }
  events[#events + 1] = { type = "done", key = key, reason = reason, usage = self.used }
  self.reply, self.given_up, self.used = nil, nil, nil
end

local read = {}

function read.setupComplete(_, _, events) events[#events + 1] = { type = "ready" } end

-- Each is of one piece of the model's work; a turn with calls has several.
function read.usageMetadata(self, told, events)
  if not self.reply and not self.asked then
    events[#events + 1] = { type = "usage", usage = usage_of.metadata(told) }
    return
  end
  self.used = realtime_usage.sum(self.used, usage_of.metadata(told))
end

function read.serverContent(self, content, events)
  if content.interrupted == true then
    if self.reply and not self.given_up then
      self.given_up = true
      events[#events + 1] = { type = "interrupted", key = self.reply }
    end
    -- It may be all that is told of his speaking.
    if not self.speaking then begin_speech(self, events) end
  end
  heard(self, fields.object(content, "inputTranscription"), events)
  local spoken = fields.text(fields.object(content, "outputTranscription"), "text")
  if spoken and spoken ~= "" then
    local key = reply_of(self, events)
    events[#events + 1] = { type = "agent_text", key = key, text = spoken }
  end
  for _, part in ipairs(fields.object(fields.object(content, "modelTurn"), "parts")) do part_of(self, part, events) end
  if content.generationComplete == true and self.reply then
    if not self.speaking then end_turn(self, events) end
    events[#events + 1] = { type = "audio_end", key = self.reply }
  end
  if content.turnComplete == true then finish(self, content, events) end
end

function read.toolCall(self, told, events)
  for _, call in ipairs(fields.object(told, "functionCalls")) do
    local id, name = fields.text(call, "id"), fields.text(call, "name")
    if id and name then
      local key = reply_of(self, events)
      self.called = true
      local args = fields.object(call, "args")
      events[#events + 1] = { type = "tool", key = key, id = id, name = name, arguments = next(args) and json.encode(args) or "{}" }
    end
  end
end

function read.toolCallCancellation(_, told, events)
  for _, id in ipairs(fields.object(told, "ids")) do
    if type(id) == "string" then events[#events + 1] = { type = "tool_cancelled", id = id } end
  end
end

function read.voiceActivity(self, told, events)
  if told.voiceActivityType == "ACTIVITY_START" then begin_speech(self, events) end
  if told.voiceActivityType == "ACTIVITY_END" then end_speech(self, events) end
end

function read.sessionResumptionUpdate(_, told, events)
  local handle = fields.text(told, "newHandle")
  -- While it speaks or waits for a result there is none, and the last one holds.
  if told.resumable == true and handle and handle ~= "" and #handle < 4096 then events[#events + 1] = { type = "resume", handle = handle } end
end

function read.goAway(_, told, events)
  local seconds = tonumber((fields.text(told, "timeLeft") or ""):match("^(%d+%.?%d*)s$")) or 0
  events[#events + 1] = { type = "renew", ms = math.min(seconds, 600) * 1000 }
end

-- A message may hold several of them; usage goes before the end that it is of.
local ORDER = { "setupComplete", "usageMetadata", "voiceActivity", "serverContent", "toolCall", "toolCallCancellation", "sessionResumptionUpdate", "goAway" }

--- Reads one message, which comes as text or as bytes. Other keys mean nothing to us.
function codec:feed(data)
  local said = json.decode(data)
  if type(said) ~= "table" then return { { type = "error", class = "protocol", text = "a message is no JSON object" } } end
  local events = {}
  local wrong = failure.object(said)
  if wrong then return { failure.event(wrong) } end
  for _, name in ipairs(ORDER) do
    if type(said[name]) == "table" then read[name](self, said[name], events) end
  end
  return events
end

--- What was used for an answer that is not over: it is told piece by piece, and nobody else has it.
function codec:rest() return self.used end

-- The reasons of a close, of which only the words are known.
local WORDS = {
  { "api key", "auth" }, { "api_key", "auth" }, { "unauthenticated", "auth" }, { "permission", "auth" }, { "credits are depleted", "quota" }, { "billing", "quota" },
  { "quota", "rate" }, { "resource exhausted", "rate" }, { "is not found", "not_found" }, { "not supported for", "not_found" }, { "unavailable", "overload" }, { "overloaded", "overload" },
}

--- The connection has closed without our doing.
function codec:closed(err)
  local code, text = err.text:match("code (%d+)"), err.text:lower()
  local class = (code == "1007" or code == "1008" or code == "1003") and "bad_request" or code and "server" or err.code == "timeout" and "timeout"
    or err.code == "limit" and "protocol" or "network"
  for _, pair in ipairs(code and WORDS or {}) do
    if text:find(pair[1], 1, true) then
      class = pair[2]
      break
    end
  end
  return { class = class, text = fields.line(err.text, TEXT_BYTES), code = code, key_refused = class == "auth" and text:find("api key not valid", 1, true) ~= nil or nil }
end

return { name = "realtime_gemini", config = {}, realtime = realtime }
