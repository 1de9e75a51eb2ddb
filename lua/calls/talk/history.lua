-- SPDX-License-Identifier: Apache-2.0
--- What was said in a conversation, as a model is told it: of our own words those that were heard and no others. It is kept with the call,
--- so that whoever takes the call up goes on with it. No I/O.
---
--- A turn: { user = text, steps = { messages of tools: assistant with tool_calls, tool }, reply = text | nil }. Tools that ran stay with their
--- results though the words about them were cut off, else a model would do it twice.
local heard = require "voice.heard"
local mask = require "ai.guard.mask"

local history = {}
history.__index = history

local TURNS = 24             -- that a model is told; of older ones only how many there were
local TURN_BYTES = 8 * 1024  -- of a turn with its tools

--- @param kept table|nil  as kept() gave it
function history.new(kept)
  kept = kept or {}
  return setmetatable({ turns = kept.turns or {}, left_out = kept.left_out or 0 }, history)
end

local function bytes_of(turn)
  local bytes = #(turn.user or "") + #(turn.reply or "")
  for _, message in ipairs(turn.steps or {}) do
    bytes = bytes + #(message.text or "")
    for _, call in ipairs(message.tool_calls or {}) do bytes = bytes + #call.arguments end
  end
  return bytes
end

--- Adds a turn that has ended.
--- @param text string   what was heard of our words
--- @param all boolean   whether that was all of them
function history:add(user, steps, text, all)
  -- What was said before a tool ran is part of what was heard.
  for _, message in ipairs(steps or {}) do
    if message.role == "assistant" then message.text = "" end
  end
  local turn = { user = user, steps = steps and #steps > 0 and steps or nil, reply = heard.for_history(text, all) }
  if bytes_of(turn) > TURN_BYTES then turn.steps = nil end
  self.turns[#self.turns + 1] = turn
  while #self.turns > TURNS do
    table.remove(self.turns, 1)
    self.left_out = self.left_out + 1
  end
end

--- The last turn of the caller was understood better afterwards.
function history:amend(text)
  for i = #self.turns, 1, -1 do
    if self.turns[i].user then
      self.turns[i].user = text
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

--- The messages of all turns, and behind them those of the one that is being answered.
function history:messages(user, steps)
  local list = {}
  local function add(turn_user, turn_steps, reply)
    if turn_user or #list == 0 then append(list, "user", turn_user or "(calls)") end
    for _, message in ipairs(turn_steps or {}) do list[#list + 1] = message end
    if reply then append(list, "assistant", reply) end
  end
  for _, turn in ipairs(self.turns) do add(turn.user, turn.steps, turn.reply) end
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

local function masked_message(message)
  local calls
  for i, call in ipairs(message.tool_calls or {}) do
    calls = calls or {}
    calls[i] = { id = call.id, name = call.name, arguments = masked(call.arguments) }
  end
  return { role = message.role, text = masked(message.text), tool_calls = calls, tool_call_id = message.tool_call_id, is_error = message.is_error }
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
    turns[i] = { user = masked(turn.user), steps = steps, reply = masked(turn.reply) }
  end
  return { turns = turns, left_out = self.left_out }
end

return history
