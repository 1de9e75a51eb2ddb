-- SPDX-License-Identifier: Apache-2.0
--- What was said in a conversation, as a model is told it: of our own words those that were heard and no others. It is kept with the call,
--- so that whoever takes the call up goes on with it. No I/O.
---
--- A turn: { user = text, steps = { messages of tools: assistant with tool_calls, tool }, reply = text | nil, mark = word in front of the reply
--- (calls.talk.marks) | nil }. Tools that ran stay with their results though the words about them were cut off, else a model would do it twice.
---
--- Of a long conversation the older turns are told in short: a line each of what the caller wanted and what was done, the newest of those, without
--- cards' numbers.
local heard = require "voice.heard"
local marks = require "calls.talk.marks"
local mask = require "ai.guard.mask"
local redact = require "ai.guard.redact"

local history = {}
history.__index = history

local TURNS = 24              -- that a model is told whole
local SAID_BYTES = 4 * 1024   -- of what one says in a turn
local STEPS_BYTES = 8 * 1024  -- of the tools of a turn
local NAME_BYTES = 64         -- of a tool's name, in a request
local DONE, FAILED = '{"result":"done; what it gave was too much to be kept"}', '{"error":"it failed"}'
local SHORT_BYTES = 160       -- of an older one, told in short
local EARLIER_BYTES = 2 * 1024

local without_numbers = setmetatable({}, { __mode = "k" })  -- message of a tool -> as it is written down
local ended = setmetatable({}, { __mode = "k" })  -- steps of turns that a history has

--- @param kept table|nil  as kept() gave it
function history.new(kept)
  kept = kept or {}
  return setmetatable({ turns = kept.turns or {}, left_out = kept.left_out or 0, earlier = kept.earlier or {} }, history)
end

local function bytes_of(steps)
  local bytes = 0
  for _, message in ipairs(steps) do
    bytes = bytes + #(message.text or "")
    for _, call in ipairs(message.tool_calls or {}) do bytes = bytes + #call.name + #call.arguments end
  end
  return bytes
end

-- Of tools that gave more than there is room for it stays that they ran: else a model would do it twice. The longest results go first. Nil: there is
-- no room for their calls alone.
local function fitting(steps)
  local bytes, results = bytes_of(steps), {}
  if bytes <= STEPS_BYTES then return steps end
  for i, message in ipairs(steps) do
    if message.role == "tool" then results[#results + 1] = i end
  end
  table.sort(results, function(a, b)
    if #steps[a].text ~= #steps[b].text then return #steps[a].text > #steps[b].text end
    return a < b
  end)
  for _, i in ipairs(results) do
    local result = steps[i]
    local text = result.is_error and FAILED or DONE
    if bytes <= STEPS_BYTES or #result.text <= #text then break end
    bytes = bytes - #result.text + #text
    -- In the same list: a result may still come into it.
    steps[i] = { role = "tool", tool_call_id = result.tool_call_id, text = text, is_error = result.is_error }
  end
  return bytes <= STEPS_BYTES and steps or nil
end

--- The tools of a turn that did what they were asked for: their names.
function history.done(turn)
  local names, failed = {}, {}
  for _, message in ipairs(turn.steps or {}) do
    if message.is_error then failed[message.tool_call_id] = true end
  end
  for _, message in ipairs(turn.steps or {}) do
    for _, call in ipairs(message.tool_calls or {}) do
      if not failed[call.id] then names[#names + 1] = call.name end
    end
  end
  return names
end

-- Cards' numbers that begin in the first turn, told in it or over several: masked while all of them are there, for of what is cut off or left out
-- the rest would not be known for one.
local function mask_first(turns, name)
  local said = {}
  for i, turn in ipairs(turns) do said[i] = turn[name] or "" end
  for i, text in ipairs(redact.cards_said(said)) do
    if text == said[i] then return end
    turns[i][name] = text
  end
end

-- A turn that is not told whole any more.
local function shorten(self, turn)
  self.left_out = self.left_out + 1
  local said, did = redact.cut(turn.user or "", SHORT_BYTES), table.concat(history.done(turn), ", ")
  if said == "" and did == "" then return end
  local list, bytes = self.earlier, 0
  list[#list + 1] = did ~= "" and ("%s [%s]"):format(said, did) or said
  for i = #list, 1, -1 do
    bytes = bytes + #list[i] + 1
    if bytes > EARLIER_BYTES then table.remove(list, i) end
  end
end

--- Adds a turn that has ended.
--- @param text string   what was heard of our words
--- @param all boolean   whether that was all of them
--- @param mark string|nil  what the model said of the caller
function history:add(user, steps, text, all, mark)
  -- What was said before a tool ran is part of what was heard.
  for _, message in ipairs(steps or {}) do
    if message.role == "assistant" then message.text = "" end
  end
  self.turns[#self.turns + 1] = { user = user and redact.cut(user, SAID_BYTES), steps = steps and #steps > 0 and fitting(steps) or nil,
    reply = heard.for_history(redact.cut(text, SAID_BYTES), all), mark = mark }
  if steps then ended[steps] = true end
  while #self.turns > TURNS do
    mask_first(self.turns, "user")
    mask_first(self.turns, "reply")
    shorten(self, table.remove(self.turns, 1))
  end
end

--- Has the turn of these steps ended, so that whoever is told the history knows of them?
function history.has(steps) return ended[steps] == true end

--- The last turn of the caller was understood better afterwards.
function history:amend(text)
  for i = #self.turns, 1, -1 do
    if self.turns[i].user then
      self.turns[i].user = redact.cut(text, SAID_BYTES)
      return
    end
  end
end

-- Providers want the two to take turns: what one says in a row is one message.
local function append(list, role, text)
  local last = list[#list]
  if last and last.role == role and not last.tool_calls then
    list[#list] = { role = role, text = last.text .. "\n" .. text }
  else
    list[#list + 1] = { role = role, text = text }
  end
end

-- A model makes names up, too, and is told that there is no such tool; no request may have what is none.
local function named(message)
  local calls
  for i, call in ipairs(message.tool_calls or {}) do
    local name = call.name:gsub("[^%w_%-]", "_"):sub(1, NAME_BYTES)
    if name == "" then name = "tool" end
    if name ~= call.name then
      calls = calls or { unpack(message.tool_calls) }
      calls[i] = { id = call.id, name = name, arguments = call.arguments, provider_data = call.provider_data }
    end
  end
  return calls and { role = message.role, text = message.text, tool_calls = calls } or message
end

-- Each result right behind its call. A tool whose turn was cut off before it had answered has one, too: providers refuse a call without.
local function answered(steps)
  local results, list = {}, {}
  for _, message in ipairs(steps) do
    local id = message.tool_call_id
    if id then
      results[id] = results[id] or {}
      table.insert(results[id], message)
    end
  end
  for _, message in ipairs(steps) do
    if message.role ~= "tool" then list[#list + 1] = named(message) end
    for _, call in ipairs(message.tool_calls or {}) do
      list[#list + 1] = results[call.id] and table.remove(results[call.id], 1) or { role = "tool", tool_call_id = call.id, text = '{"error":"it is not known yet what came of it"}', is_error = true }
    end
  end
  return list
end

--- The messages of all turns, and behind them those of the one that is being answered.
function history:messages(user, steps)
  local list = {}
  if self.earlier[1] then
    append(list, "user", ("(Of what was said before, %d turns, the caller's words and [what was done]: %s)"):format(self.left_out, table.concat(self.earlier, " / ")))
  end
  local function add(turn_user, turn_steps, reply)
    if turn_user or #list == 0 then append(list, "user", turn_user or "(calls)") end
    for _, message in ipairs(answered(turn_steps or {})) do list[#list + 1] = message end
    if reply then append(list, "assistant", reply) end
  end
  for _, turn in ipairs(self.turns) do add(turn.user, turn.steps, turn.reply and marks.with(turn.mark, turn.reply)) end
  if user then add(user, steps) end
  return list
end

-- Without the numbers of cards and accounts; everything else stays, for whoever takes the call up needs it.
local function masked(text)
  if not text or not text:find("%d%d%d%d") then return text end
  local vault = mask.vault()
  text = mask.text(text, vault)
  for name in pairs(vault.by_name) do
    if name:find("^CARD_") or name:find("^IBAN_") then vault.by_name[name] = nil end
  end
  return mask.reveal(text, vault)
end

-- A message of tools stays as it is, and each turn all of them are written down anew.
local function masked_message(message)
  if without_numbers[message] then return without_numbers[message] end
  local calls
  for i, call in ipairs(message.tool_calls or {}) do
    calls = calls or {}
    calls[i] = { id = call.id, name = call.name, arguments = masked(call.arguments) }
  end
  local copy = { role = message.role, text = masked(message.text), tool_calls = calls, tool_call_id = message.tool_call_id, is_error = message.is_error }
  without_numbers[message] = copy
  return copy
end

-- Nor those that were told over several turns.
-- @param earlier table  lines of older turns, perhaps with what was done behind the words
local function mask_across(earlier, turns)
  local said, did, replied = {}, {}, {}
  for i, line in ipairs(earlier) do
    local words, rest = line:match("^(.-)( %[[%w_, ]+%])$")
    said[i], did[i] = words or line, rest or ""
  end
  for i, turn in ipairs(turns) do
    said[#earlier + i], replied[i] = turn.user or "", turn.reply or ""
  end
  said, replied = redact.cards_said(said), redact.cards_said(replied)
  for i in ipairs(earlier) do earlier[i] = said[i] .. did[i] end
  for i, turn in ipairs(turns) do
    turn.user, turn.reply = turn.user and said[#earlier + i], turn.reply and replied[i]
  end
end

--- What is written down of it.
function history:kept()
  local turns = {}
  for i, turn in ipairs(self.turns) do
    local steps
    for k, message in ipairs(turn.steps or {}) do
      steps = steps or {}
      steps[k] = masked_message(message)
    end
    turns[i] = { user = masked(turn.user), steps = steps, reply = masked(turn.reply), mark = turn.mark }
  end
  local earlier = {}
  for i, line in ipairs(self.earlier) do earlier[i] = masked(line) end
  mask_across(earlier, turns)
  return { turns = turns, left_out = self.left_out, earlier = earlier }
end

return history
