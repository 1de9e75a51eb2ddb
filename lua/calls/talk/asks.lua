-- SPDX-License-Identifier: Apache-2.0
--- What a conversation asks of the script that began it: a tool of its own, or its rule about a turn. The functions stand in the tenant's cell,
--- which runs the state: the verb returns with a question, the cell runs the function and asks for the verb again with what it gave. So each
--- question, each answer and whatever the function did are in the journal, in their order: whoever takes the call up gets the same answers, a
--- replay shows them, and nothing is done twice.
---
---   asks.new(world, kept)     world: { after, wake = function(): there is a question }; kept: what a predecessor kept, or nil
---   asks:ask(question, ms)    told, or nil, err; waits. question: { tool = name, given = table, said } or { given = a turn }
---   asks:next()               what the script is to be asked now: { id, tool, given }, or nil; one at a time
---   asks:tell(told)           what it gave: { id, value | refused | broke }. False when that was not asked here
---   asks:kept()               for a successor
local promise = require "lib.promise"

local asks = {}
asks.__index = asks

function asks.new(world, kept)
  kept = kept or {}
  return setmetatable({ world = world, last = kept.last or 0, waiting = {}, open = nil }, asks)
end

local function leave_queue(self, one)
  for i, other in ipairs(self.waiting) do
    if other == one then return table.remove(self.waiting, i) end
  end
end

--- An err with code "timeout" means that the function may still come to its end.
function asks:ask(question, ms)
  if self.closed then return nil, { code = "gone", text = "the conversation is over" } end
  self.last = self.last + 1
  local one = { id = self.last, tool = question.tool, given = question.given, said = question.said, done = promise.new() }
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

function asks:tell(told)
  local one = self.open
  if not one or one.id ~= told.id then return false end
  self.open = nil
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

function asks:kept()
  local open = self.open
  return { last = self.last, open = open and { id = open.id, tool = open.tool, given = open.given, said = open.said } }
end

return asks
