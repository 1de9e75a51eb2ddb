-- SPDX-License-Identifier: Apache-2.0
--- The programs that speak and listen here. A program is run for each text and utterance, and all tenants share the few that may run: one tenant has
--- two of them at most that speak, and two that listen. A turn is waited for no longer than the program itself may take, and who is gone has none.
local task = require "core.task"
local timer = require "core.timer"

local programs = {}

local AT_ONCE, WAIT_S = 2, 10
local turns = {}  -- tenant id and purpose -> { running, waiting = list of { resume, unless } }

local function late(wait_s) return { code = "timeout", text = ("no turn within %g s: too many of the tenant's programs run"):format(wait_s) } end

-- Waits for a turn: true | nil, err.
local function turn_begin(key, wait_s, unless)
  local turn = turns[key] or { running = 0, waiting = {} }
  turns[key] = turn
  if turn.running < AT_ONCE then
    turn.running = turn.running + 1
    return true
  end
  local waiter = { unless = unless }
  local limit = timer.after(wait_s * 1000, function()
    for i, other in ipairs(turn.waiting) do
      if other == waiter then
        table.remove(turn.waiting, i)
        return waiter.resume(nil, late(wait_s))
      end
    end
  end)
  local begun, err = task.wait(function(resume)
    waiter.resume = resume
    turn.waiting[#turn.waiting + 1] = waiter
  end)
  limit:cancel()
  return begun, err
end

local function turn_end(key)
  local turn = turns[key]
  while turn.waiting[1] do
    local following = table.remove(turn.waiting, 1)
    if not (following.unless and following.unless()) then return following.resume(true) end
    following.resume(nil, { code = "cancelled", text = "cancelled" })
  end
  turn.running = turn.running - 1
  if turn.running == 0 then turns[key] = nil end
end

--- A world (speech.world) in which a tenant's programs wait for their turn. run also takes unless = function() -> boolean: nobody wants it any more.
function programs.world(world, tenant, purpose)
  local key = tenant.id .. purpose
  return setmetatable({ run = function(asked)
    local begun, wrong = turn_begin(key, asked.timeout_s or WAIT_S, asked.unless)
    if not begun then return nil, wrong end
    local ok, done, err = pcall(world.run, asked)
    turn_end(key)
    if not ok then error(done, 0) end
    return done, err
  end }, { __index = world })
end

return programs
