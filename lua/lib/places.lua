-- SPDX-License-Identifier: Apache-2.0
--- So many at a time: who finds no place waits behind those that came before.
local task = require "core.task"
local timer = require "core.timer"

local places = {}
places.__index = places

--- @param count number  how many there are
function places.new(count) return setmetatable({ free = count, waiting = {} }, places) end

local function forget(waiting, resume)
  for i, one in ipairs(waiting) do
    if one == resume then return table.remove(waiting, i) end
  end
end

--- Takes one, when there is one. Who has it gives it back, whatever comes.
--- @param limit_ms number|nil  that are waited for it; nil: as long as it takes
--- @return boolean  whether there was one in that time
function places:take(limit_ms)
  if self.free > 0 then
    self.free = self.free - 1
    return true
  end
  local limit
  local taken = task.wait(function(resume)
    self.waiting[#self.waiting + 1] = resume
    limit = limit_ms and timer.after(limit_ms, function()
      if forget(self.waiting, resume) then resume(false) end
    end)
  end)
  if limit then limit:cancel() end
  if taken then task.sleep(0) end  -- who gave it is not kept until this one waits again
  return taken
end

--- Gives one back: to who has waited longest.
function places:give()
  local resume = table.remove(self.waiting, 1)
  if resume then return resume(true) end
  self.free = self.free + 1
end

return places
