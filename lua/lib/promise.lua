-- SPDX-License-Identifier: Apache-2.0
--- A result that several tasks may wait for and one gives, once.
local task = require "core.task"

local promise = {}
promise.__index = promise

function promise.new()
  return setmetatable({ waiting = {} }, promise)
end

--- Gives the result; a second giving does nothing.
function promise:give(...)
  if self.results then return end
  self.results = { n = select("#", ...), ... }
  local waiting = self.waiting
  self.waiting = nil
  for _, resume in ipairs(waiting) do resume() end
end

--- Waits for the result and returns it.
function promise:wait()
  if not self.results then
    task.wait(function(resume) self.waiting[#self.waiting + 1] = resume end)
  end
  return unpack(self.results, 1, self.results.n)
end

function promise:given()
  return self.results ~= nil
end

--- Calls fn with the result when it is given, at once when it is. Returns a function that takes the wish back: who watches something that
--- lives longer must, or is kept with it.
function promise:watch(fn)
  if self.results then
    fn(unpack(self.results, 1, self.results.n))
    return function() end
  end
  local function told() fn(unpack(self.results, 1, self.results.n)) end
  self.waiting[#self.waiting + 1] = told
  return function()
    for i, waiting in ipairs(self.waiting or {}) do
      if waiting == told then return table.remove(self.waiting, i) end
    end
  end
end

return promise
