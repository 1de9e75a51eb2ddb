-- SPDX-License-Identifier: Apache-2.0
--- What a conversation that a realtime model leads waits for: one clock of each name.
--- A part of calls.talk.live: each function takes its conversation.
local clocks = {}

--- Nothing is waited for by that name any more; nothing, where nothing was.
function clocks.stop(self, name)
  if self.clocks[name] then self.clocks[name]:cancel() end
  self.clocks[name] = nil
end

--- In so many ms fn(self) is called, unless that name is stopped or waits anew.
function clocks.after(self, name, ms, fn)
  clocks.stop(self, name)
  self.clocks[name] = self.world.after(math.max(0, math.ceil(ms)), function()
    self.clocks[name] = nil
    self:safely(fn)
  end)
end

return clocks
