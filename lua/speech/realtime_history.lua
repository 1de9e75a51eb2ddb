-- SPDX-License-Identifier: Apache-2.0
--- What was said in a session with a realtime model, as a language model is told it: for the connection after one that ended, and for
--- whoever goes on with the conversation by other means. Of what was cut off, only what the caller heard. No I/O.
---
--- An answer of the model (a reply) may be several messages: what it says before a tool's result and behind it.
---
--- Cards' numbers are told to nobody in words, also where one was said in several turns.
local heard = require "voice.heard"
local json = require "core.json"
local redact = require "ai.guard.redact"

local history = {}
history.__index = history

local MOST_ENTRIES, MOST_BYTES = 400, 128 * 1024  -- the oldest goes first

--- @param messages table|nil  what was said before, as ai.request has it
function history.new(messages)
  local self = setmetatable({ before = {}, entries = {}, users = {}, calls = {} }, history)
  for i, message in ipairs(messages or {}) do self.before[i] = message end
  return self
end

local function add(self, entry)
  self.entries[#self.entries + 1] = entry
  if #self.entries > MOST_ENTRIES then
    local gone = table.remove(self.entries, 1)
    if gone.id then self.users[gone.id] = nil end
    for _, call in ipairs(gone.calls or {}) do self.calls[call.id] = nil end
  end
  return entry
end

--- The caller has begun to speak, and stands here in the order of things, though his words come later.
function history:user(id)
  if not self.users[id] then self.users[id] = add(self, { role = "user", id = id, text = "" }) end
end

--- His words: all that is known of them.
function history:user_text(id, text)
  self:user(id)
  self.users[id].text = text
end

-- The message that a reply is at: a new one when something else stands behind what it last said.
local function message_of(self, reply)
  local last = self.entries[#self.entries]
  if last and last.reply == reply then return last end
  for i = #self.entries, 1, -1 do
    local entry = self.entries[i]
    if entry.role == "tool" then break end
    if entry.reply == reply then return entry end
  end
  return add(self, { role = "assistant", reply = reply, text = "", ms = 0, calls = {} })
end

function history:agent_text(reply, text)
  local message = message_of(self, reply)
  message.text = message.text .. text
end

--- So much of its sound has come.
function history:audio(reply, ms)
  local message = message_of(self, reply)
  message.ms = message.ms + ms
end

--- Nothing more of it comes.
--- @param lost boolean|nil     the connection broke: it was to go on
--- @param stopped boolean|nil  it was broken off
function history:done(reply, lost, stopped)
  for _, entry in ipairs(self.entries) do
    if entry.reply == reply then entry.whole, entry.lost, entry.stopped = not lost, lost, stopped end
  end
end

--- Of a reply the caller heard so many ms.
function history:heard(reply, ms)
  for _, entry in ipairs(self.entries) do
    if entry.reply == reply then
      entry.played, entry.lost = math.min(ms, entry.played or math.huge), nil
      ms = math.max(0, ms - entry.ms)
    end
  end
end

function history:tool(reply, call)
  local message = message_of(self, reply)
  message.calls[#message.calls + 1] = call
  self.calls[call.id] = call
end

--- The result of a call that has none yet: the call, or nil.
function history:tool_result(id, text, is_error)
  local call = self.calls[id]
  if not call or call.answered then return nil end
  call.answered = true
  add(self, { role = "tool", call_id = id, text = text, is_error = is_error })
  return call
end

--- The provider takes a call back: it stands there as one that was not made.
function history:tool_cancelled(id) self.calls[id] = nil end

local function assistant(entry, calls)
  local text = entry.text
  if entry.played and (entry.played < entry.ms or entry.stopped) then
    local part, all = heard.of{ { text = text, ms = entry.ms, whole = entry.whole, played = entry.played } }
    text = heard.for_history(part, all and not entry.stopped)
  end
  local made = {}
  for _, call in ipairs(entry.calls) do
    if calls[call.id] == call and call.answered then made[#made + 1] = { id = call.id, name = call.name, arguments = call.arguments } end
  end
  if (not text or text == "") and #made == 0 then return nil end
  return { role = "assistant", text = text or "", tool_calls = #made > 0 and made or nil }
end

-- The entries as messages; the results of calls stand right behind them, though the caller may have spoken in between.
local function written(self, without)
  local list, results = {}, {}
  for _, entry in ipairs(self.entries) do
    if entry.role == "tool" then results[entry.call_id] = entry end
  end
  for _, entry in ipairs(self.entries) do
    if entry.role == "user" and entry.id ~= without and entry.text:find("%S") then
      list[#list + 1] = { role = "user", text = entry.text }
    elseif entry.role == "assistant" then
      local message = assistant(entry, self.calls)
      list[#list + 1] = message
      for _, call in ipairs(message and message.tool_calls or {}) do
        local result = results[call.id]
        if result then list[#list + 1] = { role = "tool", tool_call_id = call.id, text = result.text, is_error = result.is_error } end
      end
    end
  end
  return list
end

local function with(one, name, value)
  local copy = {}
  for key, item in pairs(one) do copy[key] = item end
  copy[name] = value
  return copy
end

-- Arguments are JSON, or what the provider took for it.
local function arguments_without_cards(text)
  local given = json.decode(text)
  if given == nil then return redact.cards(text) end
  local shown = redact.cards_in(given)
  return shown == given and text or json.encode(shown)
end

local function calls_without_cards(calls)
  local list = {}
  for i, call in ipairs(calls) do list[i] = with(call, "arguments", arguments_without_cards(call.arguments)) end
  return list
end

-- Results of tools come without.
local function without_cards(list)
  local said, shown = { user = {}, assistant = {} }, {}
  for _, message in ipairs(list) do
    if said[message.role] then table.insert(said[message.role], message.text) end
  end
  for role, texts in pairs(said) do said[role] = redact.cards_said(texts) end
  for i, message in ipairs(list) do
    shown[i] = said[message.role] and with(message, "text", table.remove(said[message.role], 1)) or message
    if message.tool_calls then shown[i].tool_calls = calls_without_cards(message.tool_calls) end
  end
  return shown
end

--- All of it as messages of ai.request.
--- @param without any|nil  the id of a caller's turn that is left out, for its sound is to be heard again
function history:messages(without)
  local all = {}
  for _, message in ipairs(self.before) do all[#all + 1] = message end
  for _, message in ipairs(written(self, without)) do all[#all + 1] = message end
  local bytes, first = 0, #all + 1
  while first > 1 do
    bytes = bytes + #(all[first - 1].text or "") + 64
    if bytes > MOST_BYTES then break end
    first = first - 1
  end
  -- A result without its call is refused.
  while all[first] and all[first].role == "tool" do first = first + 1 end
  local list = {}
  for i = first, #all do list[#list + 1] = all[i] end
  return without_cards(list)
end

--- What the model owes: "broken" (its answer was cut off by nobody), "answer" (someone has spoken, or a tool), or nil.
--- @param without any|nil  as above
function history:owes(without)
  for i = #self.entries, 1, -1 do
    local entry = self.entries[i]
    if entry.role == "assistant" then
      if #entry.calls > 0 then return nil end  -- a result is still to come
      if entry.text ~= "" or entry.ms > 0 then return entry.lost and "broken" or nil end
    elseif entry.role == "tool" or (entry.id ~= without and entry.text:find("%S")) then
      return "answer"
    end
  end
  return nil
end

return history
