-- SPDX-License-Identifier: Apache-2.0
--- One answer of a model as its events come, for who hands them on to a client that may be slow or go away.
---
---   ai.chat, in a task of its own  --put-->  a few events  --next-->  the task of the request
---
--- While as many events wait as may, the model's stream is not read on. Until the first word nothing has been sent, so a failure is still
--- a whole answer with its status.
local ai = require "ai"
local log = require "core.log"
local promise = require "lib.promise"
local task = require "core.task"

local hearing = {}
hearing.__index = hearing

local MOST_WAITING = 64  -- events; each is at most what one frame of a stream holds

-- What a client is shown; the rest is put together again from the answer.
local SHOWN = { text = true, tool_start = true, tool_delta = true, tool = true }

local function wake_reader(self)
  local resume = self.reader
  if not resume then return end
  self.reader = nil
  resume()
end

-- Several may wait: the attempt that speaks, and whoever ends the turn while it does.
local function wake_writers(self)
  local writers = self.writers
  self.writers = {}
  for _, resume in ipairs(writers) do resume() end
end

local function put(self, event)
  if self.gone or not SHOWN[event.type] then return end
  self.last = self.last + 1
  self.events[self.last] = event
  wake_reader(self)
  if self.last - self.first + 1 < MOST_WAITING or not task.inside() then return end
  task.wait(function(resume) self.writers[#self.writers + 1] = resume end)
end

local function run(self, tenant, request, options)
  local ok, answer, err = xpcall(ai.chat, debug.traceback, tenant, request, options)
  if not ok then
    log.error("ai.chat_failed", { tenant = tenant.slug, error = answer })
    answer, err = nil, { class = "server", text = "failed here" }
  end
  self.answer, self.err, self.over = answer, err, true
  wake_reader(self)
end

--- Begins to ask. options: those of ai.chat but on_event and cancel.
function hearing.open(tenant, request, options)
  local self = setmetatable({ events = {}, first = 1, last = 0, writers = {}, cancelled = promise.new() }, hearing)
  local asked = { on_event = function(event) put(self, event) end, cancel = self.cancelled }
  for name, value in pairs(options) do asked[name] = value end
  task.spawn(run, self, tenant, request, asked)
  return self
end

-- Waits until there is an event or nothing more comes.
local function settle(self)
  while self.first > self.last and not self.over do
    task.wait(function(resume) self.reader = resume end)
  end
end

--- Waits for the first word: true, or nil, err when there will be none.
function hearing:began()
  settle(self)
  if self.first > self.last and self.err then return nil, self.err end
  return true
end

--- Would hearing:next() return at once?
function hearing:ready() return self.first <= self.last or self.over == true end

--- The next event that a client is shown; nil, answer at the end; nil, nil, err when it broke off.
function hearing:next()
  settle(self)
  if self.first > self.last then
    if self.gone then return nil, nil, { class = "cancelled", text = "the client has gone" } end
    return nil, self.answer, self.err
  end
  local event = self.events[self.first]
  self.events[self.first] = nil
  self.first = self.first + 1
  if self.last - self.first + 1 < MOST_WAITING / 2 then wake_writers(self) end
  return event
end

--- Ends it early: the client has gone, and no more words are to be paid for.
function hearing:cancel()
  if self.gone then return end  -- when it is over, an attempt of it may still wait here
  self.gone = true
  self.events, self.first, self.last = {}, 1, 0
  self.cancelled:give("cancelled")
  wake_writers(self)
end

return hearing
