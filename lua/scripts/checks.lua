-- SPDX-License-Identifier: Apache-2.0
--- The queue for what runs a tenant's scripts beside its calls: checks and specs of bundles, simulated calls, calls that are run
--- again. Each takes a process and processor time that calls need. So many run at a time in a worker, one of each tenant; the others
--- wait, and of those the one comes next whose tenant was served longest ago: two that ask without a pause do not starve a third.
local promise = require "lib.promise"
local timer = require "core.timer"

local checks = {}

local AT_ONCE = 2
local WAITING, WAITING_OF_TENANT, WAITING_BYTES = 64, 8, 64 * 1024 * 1024  -- bytes: a waiting bundle is held in memory, some three times
local WAIT_MS = 30000

local running, running_of = 0, {}                 -- tenant id -> true
local turns, served = 0, {}                       -- tenant id -> its last turn's number, while somebody waits
local waiting, waiting_of, waiting_bytes = {}, {}, 0  -- in their order; tenant id -> how many

-- code: "too_many" is the tenant's own doing, "busy" is not.
local function refused(code, text, retry_after_s)
  return nil, { code = code, text = text, retry_after_s = retry_after_s }
end

local function leave(place, seat)
  table.remove(waiting, place)
  local left = waiting_of[seat.tenant_id] - 1
  waiting_of[seat.tenant_id] = left > 0 and left or nil
  waiting_bytes = waiting_bytes - seat.bytes
end

local function begin(tenant_id)
  running, running_of[tenant_id] = running + 1, true
  turns = turns + 1
  served[tenant_id] = turns
end

local function admit()
  while running < AT_ONCE do
    local place, longest
    for i, seat in ipairs(waiting) do
      local last = served[seat.tenant_id] or 0
      if not running_of[seat.tenant_id] and (not longest or last < longest) then place, longest = i, last end
    end
    if not place then break end
    local seat = waiting[place]
    leave(place, seat)
    begin(seat.tenant_id)
    seat.turn:give(true)
  end
  if #waiting == 0 then served = {} end
end

local function give_up(seat)
  for place, other in ipairs(waiting) do
    if other == seat then leave(place, seat) break end
  end
  seat.turn:give(false)
end

-- Waits for a turn. true; or nil, err.
local function queue(tenant_id, bytes)
  if (waiting_of[tenant_id] or 0) >= WAITING_OF_TENANT then
    return refused("too_many", ("%d of your checks, simulations and replays wait already. Send one after the other"):format(WAITING_OF_TENANT), 10)
  end
  if #waiting >= WAITING or waiting_bytes + bytes > WAITING_BYTES then
    return refused("busy", "Too many checks and simulations wait already", 30)
  end
  local seat = { tenant_id = tenant_id, bytes = bytes, turn = promise.new() }
  waiting[#waiting + 1] = seat
  waiting_of[tenant_id] = (waiting_of[tenant_id] or 0) + 1
  waiting_bytes = waiting_bytes + bytes
  local limit = timer.after(WAIT_MS, function() give_up(seat) end)
  local mine = seat.turn:wait()
  limit:cancel()
  if mine then return true end
  return refused("busy", ("It waited %d s for its turn, and others are still before it"):format(WAIT_MS / 1000), 30)
end

--- Runs check(...) when it is the tenant's turn, and returns what it returns. Waits.
--- @param bytes number  how large is what is held in memory meanwhile
--- @return any  or nil, { code = "busy" | "too_many" (of this tenant), text =, retry_after_s = }
function checks.run(tenant, bytes, check, ...)
  if running < AT_ONCE and not running_of[tenant.id] then
    begin(tenant.id)
  else
    local turn, err = queue(tenant.id, bytes)
    if not turn then return nil, err end
  end
  local results = { pcall(check, ...) }
  running, running_of[tenant.id] = running - 1, nil
  admit()
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, table.maxn(results))
end

return checks
