-- SPDX-License-Identifier: Apache-2.0
--- What a conversation asks of the script that began it: a tool of its own, or its rule about a turn. The functions stand in the tenant's cell,
--- which runs the state: the verb returns with a question, the cell runs the function and asks for the verb again with what it gave. So each
--- question, each answer and whatever the function did are in the journal, in their order: whoever takes the call up gets the same answers, a
--- replay shows them, and nothing is done twice.
---
---   asks.new(world, kept)     world: { after, wake = function(): there is a question }; kept: what a predecessor kept, or nil
---   asks:ask(question, ms)    told, or nil, err; waits. question: { tool = name, given = table, said, steps = where its turn notes what came of it }
---                             or { given = a turn, said }
---   asks:next()               what the script is to be asked now: { id, tool, given }, or nil; one at a time
---   asks:tell(told)           what it gave: { id, value | refused | broke }. False when that was not asked here
---   asks:settle(has, leaving) the history is about to be kept: what stands in it need not be kept here any more
---   asks:kept()               for a successor: { last, turn = the newest that the rule was asked about, open = what is being asked, done = what was answered in the
---                             turn that has not ended }
---   asks.newest_turn(kept, questions)  the number from which whoever begins or takes up the conversation numbers its turns on: none comes twice
---   asks.answered(kept, told) what a predecessor had been told, as a list
local json = require "core.json"
local promise = require "lib.promise"
local redact = require "ai.guard.redact"

local asks = {}
asks.__index = asks

local WAITING_MOST = 32         -- while one is being asked: who tells of more turns than a script is asked about tells of no caller
local DONE_MOST = 12            -- the newest
local SAID_BYTES = 4 * 1024     -- as a turn of calls.talk.history has it
local VALUE_BYTES = 6 * 1024    -- of one, as a successor is told it: less than a turn of calls.talk.history has room for

function asks.new(world, kept)
  kept = kept or {}
  return setmetatable({ world = world, last = kept.last or 0, turn = kept.turn or 0, waiting = {}, open = nil, done = {} }, asks)
end

local function leave_queue(self, one)
  for i, other in ipairs(self.waiting) do
    if other == one then return table.remove(self.waiting, i) end
  end
end

--- An err with code "timeout" means that the function may still come to its end; with "busy" that so many wait that this one is not asked.
function asks:ask(question, ms)
  if self.closed then return nil, { code = "gone", text = "the conversation is over" } end
  if #self.waiting >= WAITING_MOST then return nil, { code = "busy", text = "the script is asked too much at once" } end
  self.last = self.last + 1
  if not question.tool then self.turn = math.max(self.turn, question.given.n or 0) end
  local one = { id = self.last, tool = question.tool, given = question.given, said = question.said and redact.cut(question.said, SAID_BYTES), steps = question.steps, done = promise.new() }
  self.waiting[#self.waiting + 1] = one
  local limit = self.world.after(ms, function()
    leave_queue(self, one)
    one.done:give(nil, { code = "timeout", text = "it takes too long, and may still be done: do not ask for the same again" })
  end)
  self.world.wake()
  local told, err = one.done:wait()
  limit:cancel()
  return told, err
end

function asks:next()
  if self.open or self.closed then return nil end
  self.open = table.remove(self.waiting, 1)
  return self.open and { id = self.open.id, tool = self.open.tool, given = self.open.given }
end

-- One with its answer, as it is kept. Of a value that is too large a successor knows that it was given.
local function answered(one, told)
  local kept = { id = one.id, tool = one.tool, given = one.tool and one.given, said = one.said, refused = told.refused, broke = told.broke and true or nil }
  local ok, text = pcall(json.encode, told.value)
  if ok and #text <= VALUE_BYTES then kept.value = told.value end
  return kept
end

function asks:tell(told)
  local one = self.open
  if not one or one.id ~= told.id then return false end
  self.open = nil
  if one.tool or told.value then
    table.insert(self.done, { steps = one.steps, kept = answered(one, told) })
    if #self.done > DONE_MOST then table.remove(self.done, 1) end
  end
  one.done:give(told)
  return true
end

--- The conversation is over: nobody waits any more.
function asks:close()
  self.closed = true
  local list = self.waiting
  list[#list + 1] = self.open
  self.waiting, self.open = {}, nil
  for _, one in ipairs(list) do one.done:give(nil, { code = "gone", text = "the conversation is over" }) end
end

--- @param has function      steps -> boolean: has their turn ended?
--- @param leaving boolean|nil  what the rule said is being done
function asks:settle(has, leaving)
  local rest = {}
  for _, one in ipairs(self.done) do
    local stays = leaving
    if one.kept.tool then stays = not (one.steps and has(one.steps)) end
    if stays then rest[#rest + 1] = one end
  end
  self.done = rest
end

local function copy_of(one)
  local copy = {}
  for name, value in pairs(one) do copy[name] = value end
  return copy
end

function asks:kept()
  local open, list = self.open, {}
  for i, one in ipairs(self.done) do list[i] = copy_of(one.kept) end
  return { last = self.last, turn = self.turn > 0 and self.turn or nil, done = list[1] and list,
    open = open and { id = open.id, tool = open.tool, given = open.tool and open.given, said = open.said } }
end

--- @param kept table           kept.numbered: the newest turn that was written; kept.turns: how many there were
--- @param questions table|nil  a script that was asked about a turn which nobody came to write has its number already
function asks.newest_turn(kept, questions) return math.max(kept.numbered or kept.turns or 0, questions and questions.turn or 0) end

--- @param kept table      kept.asks: of asks:kept(), or nil
--- @param told table|nil  the answer to the one that was open
--- @return table  list of { id, tool = name | nil: the rule, given, said, value | refused | broke = true }
function asks.answered(kept, told)
  local noted, list = kept.asks or {}, {}
  for i, one in ipairs(noted.done or {}) do list[i] = one end
  if noted.open and told and told.id == noted.open.id then list[#list + 1] = answered(noted.open, told) end
  return list
end

return asks
