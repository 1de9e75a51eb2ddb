-- SPDX-License-Identifier: Apache-2.0
--- The script's own rule for putting a caller through (escalate of converse), asked of each of his turns where the script is (calls.talk.asks).
--- Whoever leads the conversation asks it; what it says after another has taken over counts for that one.
---
---   rule.new(asks, after)      after = function(ms, fn) -> timer
---   rule:of(put_through)       who leads from now on: put_through() is called when it says so, and nobody waits for it
---   rule:wait(turn, said)      whether he is to be put through; waits as long as an answer may, what it says later counts when it says it
---   rule:watch(turn, said)     the same, without waiting at all
---   rule:take_up(history, kept, told)  had it said so to a predecessor, who did not come to do it?
---   rule.reason                why, when it said it
local asks = require "calls.talk.asks"
local promise = require "lib.promise"
local redact = require "ai.guard.redact"
local task = require "core.task"
local text_of = require "lib.text"

local rule = {}
rule.__index = rule

local WAIT_MS = 1000       -- an answer waits for it
local MOST_MS = 30000      -- and what it says later still counts
local REASON_MOST = 200    -- bytes
local TEXT_MOST = 4 * 1024 -- bytes of a turn: each question stands in the journal

function rule.new(questions, after) return setmetatable({ asks = questions, after = after }, rule) end

function rule:of(put_through)
  self.put_through = put_through
  return self
end

-- Is that what puts him through?
local function is_word(self, value)
  if value ~= true and (type(value) ~= "string" or value == "") then return false end
  if value ~= true then self.reason = text_of.clean(value, REASON_MOST) end
  return true
end

-- Waits for its word.
local function says(self, turn, said)
  turn.text = redact.cut(turn.text, TEXT_MOST)
  local told = self.asks:ask({ given = turn, said = said }, MOST_MS)
  return is_word(self, told and told.value)
end

--- @param history table   has what the caller said then, when it had
--- @param kept table      of a predecessor: kept.asks is of calls.talk.asks
--- @param told table|nil  the answer to what he had asked
function rule:take_up(history, kept, told)
  for _, one in ipairs(asks.answered(kept, told)) do
    if not one.tool and is_word(self, one.value) then
      history:add(one.said, nil, "", false)
      return true
    end
  end
  return false
end

--- @param turn table  as the script is told of it
--- @param said string  of the caller
function rule:wait(turn, said)
  local verdict, late = promise.new(), false
  task.spawn(function()
    local is_ruled = says(self, turn, said)
    if late and is_ruled then self.put_through() end
    verdict:give(is_ruled)
  end)
  local limit = self.after(WAIT_MS, function()
    late = true
    verdict:give(false)
  end)
  local is_ruled = verdict:wait()
  limit:cancel()
  return is_ruled
end

function rule:watch(turn, said)
  task.spawn(function()
    if says(self, turn, said) then self.put_through() end
  end)
end

return rule
