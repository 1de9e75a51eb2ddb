-- SPDX-License-Identifier: Apache-2.0
--- A call: the caller's channel, its leg, the flow that runs, and the record its successor would take up.
--- It lives in the worker that owns its slot; everything here runs on that worker's loop.
---
--- One task at a time waits for something to happen to a call (the running verb, or the fallback): call:await.
--- "gone" (the caller hung up), "frozen" (the slot is given to another worker) and "cut" (a human was asked for) end every wait.
---
--- Its parts, in calls.call, each have methods of it: what is written of it (written), what the caller presses (pressed), what verbs do to its line (line), the
--- fallback (falling), its end (ending), and what becomes of it here when another worker has it (moving).
local audit = require "audit"
local cards = require "calls.cards"
local clock = require "core.clock"
local ending = require "calls.call.ending"
local falling = require "calls.call.falling"
local fault = require "core.fault"
local figures = require "calls.figures"
local flow = require "flow"
local history = require "calls.history"
local journal = require "flow.journal"
local line = require "calls.call.line"
local log = require "core.log"
local moving = require "calls.call.moving"
local operator = require "scripts.operator"
local pressed = require "calls.call.pressed"
local recordings = require "calls.recordings"
local task = require "core.task"
local timer = require "core.timer"
local verbs = require "calls.verbs"
local written = require "calls.call.written"

local Call = {}
Call.__index = Call

for _, part in ipairs{ ending, falling, line, moving, pressed, written } do
  for name, method in pairs(part) do Call[name] = method end
end

local TAKEN_UP_MOST = 50  -- moments that are kept

--- @param fields table  id, tenant, slot, node, boot (which start of the node), fence, channel, direction, from, to, trunk_id, row_id, started_us, trace
function Call.new(fields)
  local call = setmetatable(fields, Call)
  call.status = call.status or "ringing"
  call.state = call.state or "start"
  call.visit = call.visit or 0
  call.data = call.data or {}
  call.journal = call.journal or journal.new()
  call.history = call.history or history.new()
  call.digits = call.digits or {}
  call.verbs = verbs.table
  call.seed = call.seed or math.random(1, 2 ^ 31)
  call.next_play = 0
  call.legs, call.recorders = {}, {}
  if call.pausing then recordings.pause(call, "script") end
  cards.came(call)
  call.states, call.taken_up = call.states or {}, call.taken_up or {}
  return call
end

--- Takes up a call from its record. When that was stands with its states.
function Call.restore(slot, fence, read)
  local fields = { tenant = read.tenant, slot = slot.name, fence = fence }
  for name, value in pairs(read.fields.head) do fields[name] = value end
  fields.node = slot.node
  local entries = {}
  for name, entry in pairs(read.fields) do
    local visit, n = name:match("^j(%d+)%.(%d+)$")
    if visit and tonumber(visit) == fields.visit then entries[tonumber(n)] = entry end
  end
  fields.journal = journal.new(entries)
  fields.history = history.new(read.fields)
  fields.figures = read.fields.figures
  fields.visiting = fields.visit > 0 and not fields.fallen and not fields.history:has(fields.visit)
  fields.digits = {}
  for digit in (read.fields.digits or ""):gmatch(".") do table.insert(fields.digits, digit) end
  local call = Call.new(fields)
  cards.restore(call, read.fields.keys)
  if #call.taken_up < TAKEN_UP_MOST then table.insert(call.taken_up, clock.rfc3339(clock.wall_us())) end
  return call
end

-- events -------------------------------------------------------------------------------------------------------------------

--- Waits until one of kinds happens: kind, ... ; "timeout" after ms. "gone", "frozen" and "cut" always end it.
function Call:await(kinds, ms)
  if self.frozen then return "frozen" end
  if self.gone_why then return "gone" end
  if self.cutting then return "cut" end
  local clock_over
  local result = { task.wait(function(resume)
    self.waiter = { kinds = kinds, resume = resume }
    if ms then clock_over = timer.after(ms, function() resume("timeout") end) end
  end) }
  self.waiter = nil
  if clock_over then clock_over:cancel() end
  return unpack(result)
end

--- Tells the waiting task. Returns whether it was waiting for this.
function Call:happen(kind, ...)
  if self.left_talking and (kind == "gone" or kind == "frozen" or kind == "cut") then self.left_talking(kind) end
  local waiter = self.waiter
  if waiter and (waiter.kinds[kind] or kind == "gone" or kind == "frozen" or kind == "cut") then
    self.waiter = nil
    waiter.resume(kind, ...)
    return true
  end
  return false
end

function Call:on_media(kind, id, position)
  if self.let_go then
    -- The successor's sound is there and has taken the place of ours in the bridge, or nobody speaks there.
    if kind == "silent" then self.let_go() end
    return
  end
  if kind == "silent" then log.info("call.hears_nothing", { call = self.id }) end
  if self.talk then self.talk:on_media(kind, id, position) end
  self:happen(kind, id, position)
end

-- the flow's side --------------------------------------------------------------------------------------------------------------

function Call:info()
  local info = { id = self.id, from = self.from, to = self.to, direction = self.direction, started_us = self.started_us,
                 seed = journal.seed(self.seed, self.visit), route = self.route }
  if self.state == "ended" then info.why = self.why end
  if self.state == "failed" then info.error = self.error_text end
  return info
end

--- The visit has ended: once, whoever finds it first.
function Call:visited(how)
  if not self.visiting then return end
  self.visiting = nil
  self.history:add(self.visit, history.visit(self, how))
  fault.point("call.visit_ended")
end

--- A turn was timed (a report of voice.timeline). It goes into the record with what is written there next: that the turn is over.
function Call:timed(report)
  self.figures, self.figures_new = self.figures or figures.new(), true
  figures.turn(self.figures, report)
end

--- What hooks are told of it.
function Call:about()
  return { id = self.id, from = self.from, to = self.to, direction = self.direction, state = self.state, flow = self.file,
    seconds = self:seconds_up(clock.wall_us()), outcome = self.outcome }
end

function Call:moved()
  self.visiting = true
  if self.left_talking then self.left_talking("cut") end  -- the state that it belongs to is left
  if #self.states < 200 then self.states[#self.states + 1] = { state = self.state, at = clock.rfc3339(clock.wall_us()) } end
  audit.live(self.tenant, { name = "call.state", call = self.id, state = self.state })
  local state, visit = self.state, self.visit
  -- States that are left before their turn to be written has come are not worth a transaction each.
  task.spawn(self.change, self, { state = state }, { type = "call.state", data = { state = state } }, function()
    return self.visit ~= visit or self.removed or self.stale
  end)
end

--- Begins the flow of a new call.
function Call:begin(start)
  flow.enter(self, start)
end

--- The flow has ended by itself (or its `ended` state has run).
function Call:finished()
  if self.gone_why then return self:close() end
  self.outcome = self.outcome or "done"
  self:keep_head()
  if self.up then task.sleep(200) end  -- the last words are on their way
  if not self.gone_why then self:hangup(16, "flow") end
end

-- Each call counts once for the version it ran: when it fails, else when it ends. One whose routing failed went on by the rules
-- that hold without it, and is a failed one all the same.
function Call:count(kind)
  if self.counted or not self.hash then return end
  self.counted = true
  require("scripts").count(self.operators and operator.tenant or self.tenant, self.hash, kind or self.hook_failed, self.canary)
end

return Call
