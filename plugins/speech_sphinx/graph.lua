-- SPDX-License-Identifier: Apache-2.0
--- A finite state grammar as Sphinx reads it: phrases that begin alike share their beginning, for the decoder's time is that of the states. No I/O.
---
---   local arcs = graph.new()
---   arcs:add_way("call me back")            words with one space between them
---   arcs:add_tail("please")
---   arcs:add_loop({ one = true }, 1)        any of these words, once or more; each so likely. With two more arguments also behind a phrase or what it
---                                           begins with, which is so likely, and then at least so many words: after all phrases
---   arcs:text()                             about arcs.bytes long
local graph = {}
graph.__index = graph

local FIRST, LAST, SAID = 0, 1, 2

function graph.new() return setmetatable({ arcs = {}, bytes = 0, count = 3, following = {} }, graph) end

local function state(self)
  self.count = self.count + 1
  return self.count - 1
end

local function add(self, from, to, likely, word)
  local arc = ("T %d %d %g %s"):format(from, to, likely, word or "")
  self.arcs[#self.arcs + 1], self.bytes = arc, self.bytes + #arc + 1
end

function graph:add_way(way)
  local at = FIRST
  for word in way:gmatch("%S+") do
    local key = at .. " " .. word
    if not self.following[key] then
      self.following[key] = state(self)
      add(self, at, self.following[key], 1, word)
    end
    at = self.following[key]
  end
  if not self.following[at] then add(self, at, SAID, 1) end
  self.following[at] = true
end

--- Behind each phrase, or not.
function graph:add_tail(word) add(self, SAID, LAST, 1, word) end

function graph:add_loop(words, likely, behind, least)
  local list, inner = {}, self.count - 1
  for word in pairs(words) do list[#list + 1] = word end
  table.sort(list)
  local function step(from, to)
    for _, word in ipairs(list) do add(self, from, to, likely, word) end
  end
  -- No phrase's beginning alone leads to the end: it would be something that is expected.
  local before, at = state(self), state(self)
  add(self, FIRST, before, 1)
  step(before, at)
  step(at, at)
  add(self, at, LAST, 1)
  if not behind then return end
  for _ = 2, least do
    local earlier = state(self)
    step(earlier, before)
    before = earlier
  end
  for from = SAID, inner do add(self, from, before, behind) end
end

function graph:text()
  add(self, SAID, LAST, 1)
  return ("FSG_BEGIN expected\nN %d\nS %d\nF %d\n%s\nFSG_END\n"):format(self.count, FIRST, LAST, table.concat(self.arcs, "\n"))
end

return graph
