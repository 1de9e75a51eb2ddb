-- SPDX-License-Identifier: Apache-2.0
--- A call whose flow cannot go on, or that is to have a human: what runs lets go, and the fallback is run.
--- A part of calls.call: methods of a call.
local clock = require "core.clock"
local flow = require "flow"
local log = require "core.log"
local pii = require "lib.pii"
local task = require "core.task"
local text_of = require "lib.text"

local falling = {}

function falling:sealed_failure() return pii.seal(self.tenant, "call.failure", self.failure) end

--- The flow cannot go on: the fallback, which is data, is next.
function falling:failed(kind, text, file, line)
  -- A script's own words may be a caller's: the log has only where it was, the tenant's script log has the rest.
  log.warn("flow.failed", { call = self.id, tenant = self.tenant.slug, kind = kind, text = kind ~= "error" and kind ~= "form" and text or nil, file = file, line = line,
    state = self.state })
  self:count(kind)
  local where = file and ("%s:%s: "):format(file, tostring(line or "?")) or ""
  if kind ~= "error" and kind ~= "strikes" then
    require("scripts").log(self.tenant, { level = "error", call = self.id, call_id = self.row_id, state = self.state, bundle_hash = self.hash, file = file, line = line,
      text = ("the call went to its fallback (%s): %s"):format(kind, text) })
  end
  self.failure = text_of.clean(where .. text, 500)
  task.spawn(function()
    self:change({ failure = self:sealed_failure() }, { type = "script.failed", data = { kind = kind, file = file, line = line, state = self.state } })
  end)
  if self.gone_why then
    self.over = true
    return self:close()
  end
  self:fall()
end

--- Runs the fallback: says, then voicemail, transfer or hangup.
function falling:fall(status)
  if self.fallen_task then return end
  self.fallen, self.fallen_task = true, true
  self.outcome = "fallback"
  self:keep_head()
  local fallback = require("calls.fallback").of(self)
  task.spawn(function()
    if self.acting or self.left_talking then self:cut_short() end
    if self.frozen or self.stale or self.gone_why then return end
    if status or fallback.transfer then self:change{ status = status or "escalated" } self.status = status or "escalated" end
    local ok, err = pcall(require("calls.fallback").run, self, fallback)
    if not ok then log.error("fallback.failed", { call = self.id, text = tostring(err) }) end
    if self.frozen or self.stale or self.gone_why then return end
    self:hangup(16, "platform")
  end)
end

--- The running verb lets go: a second party is hung up, a recording is closed.
function falling:cut_short()
  self.cutting = true
  if self.leg then self.leg:stop(0) end
  self:happen("cut")
  local patience = clock.mono_ms() + 5000
  while self.acting and clock.mono_ms() < patience do task.sleep(10) end
  self.cutting = nil
end

--- Somebody asks for a human: whatever runs is left for the fallback.
function falling:escalate()
  if self.over or self.gone_why then return nil, { code = "gone", text = "the call has ended" } end
  if self.fallen or self.cutting then return nil, { code = "exists", text = "the call is at its fallback already" } end
  if self.direction == "outbound" and not self.up then
    return nil, { code = "exists", text = "the call has not been answered yet; POST /calls/{id}/hangup ends it" }
  end
  self:visited{ left = "escalated" }
  flow.leave(self)
  self.visit = self.visit + 1  -- what was asked for by the state that is left is not begun any more
  task.spawn(function()
    self:cut_short()
    if self.frozen then return end
    self.over = false
    if self.gone_why then return flow.ended(self, self.hangup_by) end  -- meanwhile: its end found a call that was over
    self:fall("escalated")
  end)
  return true
end

return falling
