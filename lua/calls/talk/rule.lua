-- SPDX-License-Identifier: Apache-2.0
--- The script's own rule for putting a caller through (escalate of converse), asked of each of his turns where the script is (calls.talk.asks).
--- Whoever leads the conversation asks it; what it says after another has taken over counts for that one.
---
---   rule.new(asks, after)      after = function(ms, fn) -> timer
---   rule:of(put_through)       who leads from now on: put_through() is called when it says so, and nobody waits for it
---   rule:wait(turn, said)      whether he is to be put through; waits as long as an answer may, what it says later counts when it says it
---   rule:watch(turn, said)     the same, without waiting at all
---   rule.reason                why, when it said it
local promise = require "lib.promise"
local task = require "core.task"
local text_of = require "lib.text"

local rule = {}
rule.__index = rule

local WAIT_MS = 1000       -- an answer waits for it
local MOST_MS = 30000      -- and what it says later still counts
local REASON_MOST = 200    -- bytes

function rule.new(asks, after) return setmetatable({ asks = asks, after = after }, rule) end

function rule:of(put_through)
  self.put_through = put_through
  return self
end

-- Waits for its word.
local function says(self, turn, said)
  local told = self.asks:ask({ given = turn, said = said }, MOST_MS)
  local value = told and told.value
  if value ~= true and (type(value) ~= "string" or value == "") then return false end
  if value ~= true then self.reason = text_of.clean(value, REASON_MOST) end
  return true
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
