-- SPDX-License-Identifier: Apache-2.0
--- The same question asked by several at the same time is asked once: the first one goes, the others wait for what it brings.
--- Keys carry their tenant, so nobody waits for another tenant's answer. Of one worker.
local promise = require "lib.promise"
local task = require "core.task"
local timer = require "core.timer"

local flights = {}

local under_way = {}  -- key -> promise

-- Waits for the flight, for the limit, or for the caller's own cancel: "landed", ...results | "late" | "cancelled"
local function wait_for(flight, limit_ms, cancel)
  local first = promise.new()
  local limit = limit_ms and timer.after(math.max(1, limit_ms), function() first:give("late") end)
  task.spawn(function() first:give("landed", flight:wait()) end)
  if cancel then
    task.spawn(function()
      cancel:wait()
      first:give("cancelled")
    end)
  end
  return first, limit
end

--- Runs ask(), or waits for the one that runs with the same key.
--- @param key string  with the tenant in it
--- @param ask function  -> value | nil, err = { class = }
--- @param options table|nil  wait_ms: how long to wait for another's; cancel: a promise, given at the latest when the asker has ended;
---   alone(err): true when the other's failure was its own, so that the next one asks for itself (cancelled, out of its time)
--- @return any value | nil, err
--- @return boolean shared  it is another's
function flights.join(key, ask, options)
  options = options or {}
  local flight = under_way[key]
  while flight do
    local first, limit = wait_for(flight, options.wait_ms, options.cancel)
    local how, ok, value, err = first:wait()
    if limit then limit:cancel() end
    if how == "late" then return nil, { class = "timeout", text = "the answer to the same question did not come in time" }, true end
    if how == "cancelled" then return nil, { class = "cancelled", text = "cancelled" }, true end
    if ok and value ~= nil then return value, nil, true end
    if ok and not (options.alone and options.alone(err)) then return nil, err, true end  -- one that raised tells nobody anything
    flight = under_way[key]  -- the first one only gave up: one of those who waited goes next
  end
  flight = promise.new()
  under_way[key] = flight
  local ok, value, err = pcall(ask)
  if under_way[key] == flight then under_way[key] = nil end
  flight:give(ok, value, err)
  if not ok then error(value, 0) end
  return value, err, false
end

return flights
