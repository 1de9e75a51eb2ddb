-- SPDX-License-Identifier: Apache-2.0
--- A call that another worker has, or will have: what is under way stays for that one.
--- A part of calls.call: methods of a call.
local cards = require "calls.cards"
local flow = require "flow"
local timer = require "core.timer"
local transcript = require "calls.transcript"

local moving = {}

--- The slot is being given away: nothing new is begun; what is under way stays for the successor.
function moving:freeze()
  self.frozen = true
  cards.moves(self)
  self:happen("frozen")
  transcript.finish(self)
end

--- Another worker owns the call (or will): this copy is dropped without touching Asterisk or the record.
--- @param linger_ms number|nil  how long the sound goes on, until the successor's is there
function moving:lost(linger_ms)
  if self.stale then return end
  self.stale = true
  self.frozen = true
  flow.leave(self)
  self:happen("frozen")
  transcript.finish(self)
  for recorder in pairs(self.recorders) do recorder:abandon() end
  for _, other in pairs(self.legs) do other:leave() end
  local function let_go()
    if linger_ms then self.let_go = nil end
    for _, other in pairs(self.legs) do other:let_go() end
    if self.leg then self.leg:close(true) end
    self.leg = nil
  end
  if not linger_ms then
    let_go()
  else
    for _, other in pairs(self.legs) do other:linger() end
    if self.leg then self.leg:linger() end
    self.let_go = let_go
    timer.after(linger_ms, let_go)
  end
  if self.on_removed then self.on_removed(self) end
end

return moving
