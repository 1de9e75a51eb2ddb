-- SPDX-License-Identifier: Apache-2.0
--- How many requests may run at a time, over all workers. Each worker holds some permits in Redis, used and idle ones; idle ones
--- make the next request free of a round trip, and are given back a quarter of a second later. What a worker holds is renewed while
--- it lives and is free five seconds after it died. While Redis is away each worker has the whole limit to itself.
local clock = require "core.clock"
local bucket = require "ai.bucket"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local task = require "core.task"
local timer = require "core.timer"
local worker = require "core.worker"

local permits = {}
permits.__index = permits

local LEASE_MS = 5000
local RENEW_MS = 1000
local TIDY_MS = 250
local ROUNDS_MOST = 24  -- each brings a twentieth of the limit or more, so that even all of it taken in one moment needs no more

-- KEYS[1]; owner, wanted, used, limit, lease ms. The owner holds what he wants, as far as the others leave it, and never less than
-- he uses. Returns what he holds.
local script = redis.script [[
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local others = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local held, ends = string.match(all[i + 1], '^(%d+) (%d+)$')
  if tonumber(ends) <= now then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] then
    others = others + tonumber(held)
  end
end
local holds = math.max(tonumber(ARGV[3]), math.min(tonumber(ARGV[2]), tonumber(ARGV[4]) - others))
if holds > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d', holds, now + tonumber(ARGV[5])))
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return holds
]]

local busy = {}  -- permits that hold something: looked after by one timer
local tidying

local function owner() return worker.owner ~= "" and worker.owner or "alone" end

-- What is held now; nil when Redis does not answer.
local function set(self, wanted, limit)
  self.asked_ms = clock.mono_ms()
  local reply = script:call({ self.key }, owner(), math.max(wanted, 0), self.used, limit, LEASE_MS)
  if reply then self.held = reply end
  return reply
end

local function tidy()
  local now = clock.mono_ms()
  for one in pairs(busy) do
    if one.used == 0 and one.held == 0 then
      busy[one] = nil
    elseif redis.connected() and one.limit and (one.held > one.used or now - one.asked_ms >= RENEW_MS) and now - one.asked_ms >= TIDY_MS then
      task.spawn(set, one, one.used, one.limit)
    elseif not redis.connected() then
      one.held = 0
    end
  end
  if next(busy) == nil then
    tidying:cancel()
    tidying = nil
  end
end

--- @param id string  unique in the installation
function permits.new(id)
  return setmetatable({ key = rediskey("ai:permits:{", id, "}"), held = 0, used = 0, asked_ms = 0 }, permits)
end

local function begin(self)
  self.used = self.used + 1
  busy[self] = true
  tidying = tidying or timer.every(TIDY_MS, tidy)
  return true
end

--- Takes a permit: true, or false and the milliseconds after which it may be tried again. May wait for Redis.
--- @param limit number|nil  nil: none
--- @param priority string  as bucket takes it: of the limit, campaigns leave the last tenth and the API the last fifth
function permits:take(limit, priority)
  self.limit = limit
  if not limit then return begin(self) end
  if self.used < self.held then return begin(self) end
  local most = limit - math.floor(limit * bucket.kept_from[priority])
  local ahead = math.max(1, math.floor(limit / 20))
  for _ = 1, ROUNDS_MOST do
    if not redis.connected() then break end
    local wanted = self.used + ahead
    local got = set(self, wanted, most)
    if not got then break end
    if self.used < self.held then return begin(self) end
    if got < wanted then return false, TIDY_MS end
    -- All that was wanted was there, and others of this worker, who asked in the same moment, have taken it: there may be more.
  end
  if redis.connected() then return false, TIDY_MS end
  if self.used < most then return begin(self) end
  return false, TIDY_MS
end

--- Gives one back, once for each that was taken.
function permits:give()
  self.used = self.used - 1
end

return permits
