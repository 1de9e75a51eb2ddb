-- SPDX-License-Identifier: Apache-2.0
--- The programs that speak and listen here. A program is run for each text and utterance, and all tenants share the few that may run: one tenant has
--- two of them at most that speak, and two that listen.
local task = require "core.task"

local programs = {}

local AT_ONCE = 2
local turns = {}  -- tenant id and purpose -> { running, waiting = { resume... } }

local function turn_begin(key)
  local turn = turns[key] or { running = 0, waiting = {} }
  turns[key] = turn
  if turn.running < AT_ONCE then
    turn.running = turn.running + 1
  else
    task.wait(function(resume) turn.waiting[#turn.waiting + 1] = resume end)
  end
end

local function turn_end(key)
  local turn = turns[key]
  local following = table.remove(turn.waiting, 1)
  if following then return following() end
  turn.running = turn.running - 1
  if turn.running == 0 then turns[key] = nil end
end

--- A world (speech.world) in which a tenant's programs wait for their turn.
function programs.world(world, tenant, purpose)
  local key = tenant.id .. purpose
  return setmetatable({ run = function(asked)
    turn_begin(key)
    local ok, done, err = pcall(world.run, asked)
    turn_end(key)
    if not ok then error(done, 0) end
    return done, err
  end }, { __index = world })
end

return programs
