-- SPDX-License-Identifier: Apache-2.0
--- Timers of which nearly all are taken back before they come: the limits of turns and attempts. One of the core's timers looks after all of
--- them; each has its place in the list of those that were given the same time, where the first to be made is the first to come.
---
---   deadlines.after(ms, fn) -> timer with cancel()     as core.timer.after, never early, and late by at most 0.4 % and STEP_MS
local clock = require "core.clock"
local task = require "core.task"
local timer = require "core.timer"

local deadlines = {}

local STEP_MS = 20
local SHORT_MS = 250  -- what is shorter has a timer of its own
local SHARE = 256     -- times that differ by less than this part of them share a list

local lists = {}      -- span -> { first, last } of its entries, which know their neighbours
local count, ticking = 0, nil

local Deadline = {}
Deadline.__index = Deadline

--- Takes it back. Nothing when it has come.
function Deadline:cancel()
  local list, before, after = self.list, self.before, self.after
  if not list then return end
  self.list, self.fn = nil, nil
  if before then before.after = after else list.first = after end
  if after then after.before = before else list.last = before end
  count = count - 1
end

local function tick()
  local now, used = clock.mono_ms(), {}
  for span, list in pairs(lists) do
    if list.first then used[#used + 1] = list else lists[span] = nil end
  end
  -- What runs may make lists, so they are not walked through meanwhile.
  for _, list in ipairs(used) do
    local first = list.first
    while first and first.at <= now do
      local fn = first.fn
      first:cancel()
      task.spawn(fn)
      first = list.first
    end
  end
  if count > 0 then return end
  ticking:cancel()
  ticking = nil
end

--- See above.
function deadlines.after(ms, fn)
  if ms < SHORT_MS or ms == math.huge then return timer.after(ms, fn) end
  local _, exponent = math.frexp(ms / SHARE)
  local step = 2 ^ (exponent - 1)
  local span = math.ceil(ms / step) * step
  local list = lists[span]
  if not list then
    list = {}
    lists[span] = list
  end
  local last = list.last
  local made = setmetatable({ at = clock.mono_ms() + ms, fn = fn, list = list, before = last, after = nil }, Deadline)
  if last then last.after = made else list.first = made end
  list.last = made
  count = count + 1
  ticking = ticking or timer.every(STEP_MS, tick)
  return made
end

return deadlines
