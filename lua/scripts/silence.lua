-- SPDX-License-Identifier: Apache-2.0
--- Whether a cell that answers no ping is to blame. On a full machine it may have been given no processor for seconds, by no fault
--- of its own; so what counts is the time that it ran since it was asked, by its CPU clock. An honest cell reads what it is sent
--- between any two slices. One that waits for a processor has its limit too.
---
--- One that sleeps is not starved: an honest cell sleeps for nothing but its socket, and what comes there wakes it, so that from
--- then on it runs or waits for a processor until it has answered. Whatever else the kernel says of it (it waits for a disk,
--- is stopped, is traced) is no proof. Arithmetic only: the clocks and the state are given.
local silence = {}

silence.PING_MS = 1000
local ASKED_MS = 4000    -- so many pings unanswered, and it has run meanwhile, or slept at every look
local MOST_MS = 10000    -- and so many, whether it has run or not
local LAST_MS = 20000    -- and of one that is put behind all others

--- Of a cell that answers until now.
function silence.new(now) return { heard_ms = now, asked = 0, slept = true } end

--- It has said something, or cannot: what it owes begins anew.
function silence.broken(quiet, now) quiet.heard_ms, quiet.asked, quiet.slept = now, 0, true end

--- It is asked. Counted, for where this worker stood still itself, nothing was asked, and nothing is owed.
--- @param cpu_s number|nil  what the cell has used until now; nil: not known
function silence.asked(quiet, cpu_s)
  if quiet.asked == 0 then quiet.cpu_s = cpu_s end
  quiet.asked = quiet.asked + 1
end

--- It was looked at, a while after it was asked. Once between any two pings.
function silence.seen(quiet, sleeps) quiet.slept = quiet.slept and sleeps end

local function unanswered(quiet, now, ms) return now - quiet.heard_ms > ms and quiet.asked * silence.PING_MS >= ms end

--- @param cpu_s number|nil  as above
--- @param turn_s number     of its CPU that may pass before an honest one reads: a turn's end, a built-in and a collection
--- @param is_last boolean  it waits for its turn behind all others
function silence.is_guilty(quiet, now, cpu_s, turn_s, is_last)
  if not unanswered(quiet, now, ASKED_MS) then return false end
  return quiet.slept or unanswered(quiet, now, is_last and LAST_MS or MOST_MS) or (cpu_s ~= nil and quiet.cpu_s ~= nil and cpu_s - quiet.cpu_s > turn_s)
end

return silence
