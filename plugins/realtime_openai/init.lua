-- SPDX-License-Identifier: Apache-2.0
--- OpenAI's Realtime API over WebSocket. Form: the openai package, resources/realtime.
---
--- Sound is G.711 both ways. The server tells turns apart by itself (server_vad), answers them and breaks off when the caller speaks; what he
--- heard it cannot know, so that is told by conversation.item.truncate. A response is one reply; it holds items (what is spoken, calls).
---
--- Flags of a target, all of them optional: law = "alaw", voice, transcription = the model that writes down what the caller says, or false (then
--- cards' numbers that are said are not found, neither in the transcript's place nor in recordings),
--- semantic_vad = "low" | "medium" | "high" | "auto" in place of silence, noise_reduction = "near_field" | "far_field", effort, max_tokens.
local crypto = require "core.crypto"
local failure = require "plugins.ai_openai.failure"
local fields = require "ai.fields"
local json = require "core.json"
local usage_of = require "plugins.realtime_openai.usage"
local words = require "plugins.ai_openai.words"

local BASE = "https://api.openai.com/v1"
local VOICE, TRANSCRIPTION = "marin", "gpt-4o-mini-transcribe"
local BYTES_A_MS = 8               -- of G.711
local TEXT_BYTES = 500
local OPEN_BYTES = 256 * 1024      -- of transcripts that are not whole yet
local OPEN_EACH = 100              -- what one of them counts for besides
local RESPONSES, ITEMS = 64, 64    -- the last that are known, and those of one

-- A session lasts an hour, and nothing warns of its end.
local realtime = { longest_ms = 55 * 60 * 1000, tokens_a_second = 20, usage_with_done = true }
local codec = {}
codec.__index = codec

local function encode(text) return (text:gsub("[^%w_.~-]", function(c) return ("%%%02X"):format(c:byte()) end)) end

function realtime.request(_, target)
  local base = (target.url or BASE):gsub("/+$", ""):gsub("^http", "ws")
  return { url = base .. "/realtime?model=" .. encode(target.model or "gpt-realtime"), headers = { Authorization = "Bearer " .. (target.key or "") } }
end

--- A handshake that was refused.
function realtime.refused(err)
  local found = failure.of(err.status, {}, "")
  found.type, found.text = "error", fields.line(err.text, TEXT_BYTES)
  return found
end

function realtime.connection(options, target)
  local flags = target.flags or {}
  return setmetatable({ options = options, flags = flags, input = flags.law == "alaw" and "alaw" or "ulaw", transcripts = {}, open_bytes = 0, responses = {}, keys = {},
    transcription = flags.transcription == nil and TRANSCRIPTION or flags.transcription }, codec)
end

-- -- what is said to it ---------------------------------------------------------------------------------------------------------------------

local function event(kind, more)
  more = more or {}
  more.type = kind
  return json.encode(more)
end

local function tools_of(list)
  local tools = json.array{}
  for i, tool in ipairs(list) do tools[i] = { type = "function", name = tool.name, description = tool.description, parameters = tool.parameters } end
  return tools
end

local function turns_of(options, flags)
  if flags.semantic_vad then return { type = "semantic_vad", eagerness = flags.semantic_vad, create_response = true, interrupt_response = true } end
  return { type = "server_vad", silence_duration_ms = options.silence_ms or 500, create_response = true, interrupt_response = true }
end

function codec:opened()
  local options, flags = self.options, self.flags
  local format = { type = self.input == "alaw" and "audio/pcma" or "audio/pcmu" }
  return { event("session.update", { session = {
    type = "realtime", output_modalities = json.array{ "audio" }, instructions = options.instructions, max_output_tokens = flags.max_tokens,
    audio = {
      input = { format = format, turn_detection = turns_of(options, flags), noise_reduction = flags.noise_reduction and { type = flags.noise_reduction } or nil,
        transcription = self.transcription and { model = self.transcription, language = options.language:match("^%a+") } or nil },
      output = { format = format, voice = options.voice or flags.voice or VOICE },
    },
    tools = tools_of(options.tools), tool_choice = #options.tools > 0 and "auto" or nil, reasoning = flags.effort and { effort = flags.effort } or nil,
  } }) }
end

local function item(list, made) list[#list + 1] = event("conversation.item.create", { item = made }) end

local function message(list, role, text)
  item(list, { type = "message", role = role, content = json.array{ { type = role == "assistant" and "output_text" or "input_text", text = text } } })
end

-- One response at a time, and none while a result is missing: it is asked for when that is past.
local function respond(self, list)
  if self.active or self.creating or self.open_calls and self.open_calls > 0 then
    self.wanted = true
    return
  end
  self.wanted, self.creating = nil, true
  list[#list + 1] = event("response.create")
end

function codec:begun(messages, owes)
  local list = {}
  for _, said in ipairs(messages) do
    if said.role == "tool" then
      item(list, { type = "function_call_output", call_id = said.tool_call_id, output = words.result(said) })
    else
      if said.text and said.text ~= "" then message(list, said.role, said.text) end
      for _, call in ipairs(said.tool_calls or {}) do item(list, { type = "function_call", call_id = call.id, name = call.name, arguments = call.arguments }) end
    end
  end
  if owes == "broken" then message(list, "system", words.GO_ON) end
  if owes then respond(self, list) end
  return list
end

function codec:audio(bytes) return { event("input_audio_buffer.append", { audio = crypto.b64(bytes) }) } end

function codec:text(text)
  local list = {}
  message(list, "user", text)
  respond(self, list)
  return list
end

function codec:tool_result(call, text, is_error, known)
  local list = {}
  if known then
    self.open_calls = math.max(0, (self.open_calls or 0) - 1)
  else
    item(list, { type = "function_call", call_id = call.id, name = call.name, arguments = call.arguments })
  end
  item(list, { type = "function_call_output", call_id = call.id, output = words.result{ text = text, is_error = is_error } })
  respond(self, list)
  return list
end

--- Breaks a response off, and has its items end where the caller stopped hearing.
function codec:cancel(key, heard_ms)
  local response, list, at = self.responses[key], {}, 0
  if not response then return list end
  if not response.done then list[1] = event("response.cancel", { response_id = key }) end
  for _, one in ipairs(response.items) do
    local ms = math.floor(one.bytes / BYTES_A_MS)
    if heard_ms <= at then
      list[#list + 1] = event("conversation.item.delete", { item_id = one.id })
    elseif heard_ms < at + ms or not response.done then
      -- More than there is of it is an error.
      list[#list + 1] = event("conversation.item.truncate", { item_id = one.id, content_index = one.content_index, audio_end_ms = math.floor(math.min(heard_ms - at, ms)) })
    end
    at = at + ms
  end
  return list
end

-- -- what it says --------------------------------------------------------------------------------------------------------------------------------

local read = {}

read["session.updated"] = function(self, _, events)
  if self.taken_on then return end
  self.taken_on = true
  events[#events + 1] = { type = "ready", untranscribed = not self.transcription or nil }
end

read["input_audio_buffer.speech_started"] = function(_, said, events)
  events[#events + 1] = { type = "speech_started", id = fields.text(said, "item_id") or "" }
end

read["input_audio_buffer.speech_stopped"] = function(_, _, events) events[#events + 1] = { type = "speech_ended" } end

read["conversation.item.input_audio_transcription.delta"] = function(self, said, events)
  local id, delta = fields.text(said, "item_id"), fields.text(said, "delta")
  if not id or not delta or delta == "" then return end
  self.open_bytes = self.open_bytes + #delta + (self.transcripts[id] and 0 or #id + OPEN_EACH)
  if self.open_bytes > OPEN_BYTES then
    events[#events + 1] = { type = "error", class = "protocol", text = "transcripts do not come to an end" }
    return
  end
  self.transcripts[id] = (self.transcripts[id] or "") .. delta
  events[#events + 1] = { type = "user_text", id = id, text = self.transcripts[id] }
end

local function close_transcript(self, id)
  if not self.transcripts[id] then return end
  self.open_bytes = self.open_bytes - #self.transcripts[id] - #id - OPEN_EACH
  self.transcripts[id] = nil
end

read["conversation.item.input_audio_transcription.failed"] = function(self, said)
  local id = fields.text(said, "item_id")
  if id then close_transcript(self, id) end
end

read["conversation.item.input_audio_transcription.completed"] = function(self, said, events)
  local id = fields.text(said, "item_id")
  if not id then return end
  close_transcript(self, id)
  events[#events + 1] = { type = "user_text", id = id, text = fields.text(said, "transcript") or "", final = true }
  -- Where none was asked for, none is paid.
  if self.transcription then events[#events + 1] = { type = "usage", usage = usage_of.transcription(said.usage, self.transcription) } end
end

local function response_of(self, key, events)
  if not key then return nil end
  local response = self.responses[key]
  if not response then
    response = { items = {}, calls = 0 }
    self.responses[key], self.keys[#self.keys + 1] = response, key
    if #self.keys > RESPONSES then self.responses[table.remove(self.keys, 1)] = nil end
    events[#events + 1] = { type = "reply", key = key }
  end
  return response
end

read["response.created"] = function(self, said, events)
  local key = fields.text(fields.object(said, "response"), "id")
  if response_of(self, key, events) then self.active, self.creating = key, nil end
end

read["response.output_audio.delta"] = function(self, said, events)
  local key, id, delta = fields.text(said, "response_id"), fields.text(said, "item_id"), fields.text(said, "delta")
  local response = response_of(self, key, events)
  if not response or not id or not delta then return end
  local bytes = crypto.unb64(delta)
  if not bytes then
    events[#events + 1] = { type = "error", class = "protocol", text = "the sound is no base64" }
    return
  end
  if bytes == "" then return end
  local last = response.items[#response.items]
  if not last or last.id ~= id then
    if #response.items == ITEMS then
      events[#events + 1] = { type = "error", class = "protocol", text = ("more than %d parts in one answer"):format(ITEMS) }
      return
    end
    last = { id = id, bytes = 0, content_index = fields.count(said, "content_index") or 0 }
    response.items[#response.items + 1] = last
  end
  last.bytes = last.bytes + #bytes
  events[#events + 1] = { type = "audio", key = key, bytes = bytes, form = self.input }
end

local function spoken(self, said, events)
  local key, delta = fields.text(said, "response_id"), fields.text(said, "delta")
  if response_of(self, key, events) and delta then events[#events + 1] = { type = "agent_text", key = key, text = delta } end
end
read["response.output_audio_transcript.delta"] = spoken
read["response.output_text.delta"] = spoken

read["response.output_item.done"] = function(self, said, events)
  local key, made = fields.text(said, "response_id"), fields.object(said, "item")
  local response = response_of(self, key, events)
  -- One that was broken off has no whole arguments.
  if not response or made.type ~= "function_call" or made.status == "incomplete" then return end
  local id, name = fields.text(made, "call_id"), fields.text(made, "name")
  if not id or not name then return end
  response.calls = response.calls + 1
  self.open_calls = (self.open_calls or 0) + 1
  events[#events + 1] = { type = "tool", key = key, id = id, name = name, arguments = (fields.arguments(fields.text(made, "arguments") or "")) }
end

-- Why it ended, in our words; and what it failed of.
local function ending_of(response, made)
  local details = fields.object(made, "status_details")
  if made.status == "cancelled" then return "interrupted" end
  if made.status == "failed" then return "failed", fields.object(details, "error") end
  if made.status == "incomplete" then return details.reason == "content_filter" and "refused" or "length" end
  return response.calls > 0 and "tool" or "end"
end

read["response.done"] = function(self, said, events)
  local made = fields.object(said, "response")
  local key = fields.text(made, "id")
  local response = response_of(self, key, events)
  if not response or response.done then return end
  response.done = true
  if self.active == key then self.active = nil end
  local reason, wrong = ending_of(response, made)
  if fields.text(fields.object(made, "status_details"), "reason") == "turn_detected" then events[#events + 1] = { type = "interrupted", key = key } end
  events[#events + 1] = { type = "audio_end", key = key }
  events[#events + 1] = { type = "done", key = key, reason = reason, usage = usage_of.response(made.usage) }
  if wrong then
    events[#events + 1] = { type = "error", class = failure.class(wrong), text = fields.line(fields.text(wrong, "message") or fields.text(wrong, "code") or "the answer failed", TEXT_BYTES),
      code = fields.text(wrong, "code") }
  elseif self.wanted then
    local list = {}
    respond(self, list)
    for _, text in ipairs(list) do events[#events + 1] = { type = "send", text = text } end
  end
end

-- Most are of one message of ours, and the session goes on: a cancel that came too late, an end beyond the sound there was.
local FATAL = { auth = true, quota = true, not_found = true, rate = true }

function read.error(self, said, events)
  local wrong = fields.object(said, "error")
  local class, code = failure.class(wrong), fields.text(wrong, "code")
  -- The server's own came first: ours is asked for behind it.
  if code == "conversation_already_has_active_response" then self.wanted = true end
  self.creating = nil
  if code == "session_expired" then
    events[#events + 1] = { type = "error", renew = true }
  elseif not self.taken_on or FATAL[class] then
    events[#events + 1] = { type = "error", class = class, text = fields.line(fields.text(wrong, "message") or code or "the provider reported an error", TEXT_BYTES), code = code }
  end
end

--- Reads one message. Other types mean nothing to us.
function codec:feed(data, binary)
  local said = not binary and json.decode(data) or nil
  if type(said) ~= "table" then return { { type = "error", class = "protocol", text = "a message is no JSON object" } } end
  local events = {}
  local known = read[fields.text(said, "type") or ""]
  if known then known(self, said, events) end
  return events
end

--- The connection has closed without our doing.
function codec:closed(err)
  local code = err.text:match("code (%d+)")
  -- 1008: policy, 1003 and 1007: what was sent; anything else is the server's, or the network's.
  local class = (code == "1008" or code == "1003" or code == "1007") and "bad_request" or code and "server" or err.code == "timeout" and "timeout"
    or err.code == "limit" and "protocol" or "network"
  if err.text:find("session_expired", 1, true) or err.text:find("maximum duration", 1, true) then return { renew = true } end
  return { class = class, text = fields.line(err.text, TEXT_BYTES), code = code }
end

return { name = "realtime_openai", config = {}, realtime = realtime }
