-- SPDX-License-Identifier: Apache-2.0
--- Token buckets in Redis, shared by all workers. A bucket holds `burst` tokens and gains `per_second`.
--- A busy client's tokens are fetched several at a time, so that most requests cost no round trip; what a worker
--- has fetched and not used within a second is lost. A bucket found empty is not asked again for a moment: refusing must
--- cost less than asking, or who floods keeps the worker busy with it. While Redis is away each worker keeps buckets of its own:
--- a client may then get as many times its limit as there are workers, but passwords cannot be guessed freely.
local clock = require "core.clock"
local config = require "core.config"
local redis = require "core.redis"

local ratelimit = {}

--- Classes a route may name, beside those of the configuration (`limits.read`, `limits.write`, `limits.public`).
ratelimit.classes = {
  login_address = { per_second = 1, burst = 60 },
  login_email = { per_second = 0.1, burst = 10 },           -- from one address
  login_email_anywhere = { per_second = 0.2, burst = 60 },  -- from all of them
  heavy = { per_second = 2, burst = 20 },
}

-- KEYS[1] bucket; per_second, burst, wanted, least. Takes up to `wanted` when at least `least` are there.
-- Returns { taken, wait in ms }. A negative wanted gives tokens back.
local bucket = redis.script [[
local rate, burst, wanted, least = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local state = redis.call('HMGET', KEYS[1], 'n', 'at')
local n = tonumber(state[1]) or burst
local at = tonumber(state[2]) or now
n = math.min(burst, n + math.max(0, now - at) * rate / 1000)
local taken, wait = 0, 0
if wanted < 0 then
  n = math.min(burst, n - wanted)
elseif n >= least then
  taken = math.min(wanted, math.floor(n))
  if taken < least then taken = least end
  n = n - taken
else
  wait = math.ceil((least - n) / rate * 1000)
end
redis.call('HSET', KEYS[1], 'n', tostring(n), 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return { taken, wait }
]]

local REFUSED_MS = 100  -- at most, for a token may also come back before its time

local purses = {}  -- key -> { n = tokens already fetched, ends = mono ms } or a whole bucket while Redis is away
local purse_count = 0
local fetching = {}  -- key -> true while tokens for several requests are on their way

local function sweep(now)
  for key, purse in pairs(purses) do
    if purse.ends <= now then
      purses[key] = nil
      purse_count = purse_count - 1
    end
  end
end

local function purse_of(key, now, lifetime_ms)
  local purse = purses[key]
  if not purse then
    if purse_count >= 10000 then sweep(now) end
    purse = { n = 0 }
    purses[key] = purse
    purse_count = purse_count + 1
  end
  if purse.ends and purse.ends <= now then purse.n = 0 end
  purse.ends = now + lifetime_ms
  return purse
end

local function limit_of(class)
  local declared = config.limits and config.limits[class]
  return declared or ratelimit.classes[class]
end

-- The same arithmetic on a table of this worker.
local function take_here(key, limit, now)
  local purse = purse_of("away:" .. key, now, math.ceil(limit.burst / limit.per_second * 1000) + 1000)
  local level = purse.level or limit.burst
  level = math.min(limit.burst, level + (now - (purse.at or now)) * limit.per_second / 1000)
  purse.at = now
  if level < 1 then
    purse.level = level
    return false, math.ceil((1 - level) / limit.per_second)
  end
  purse.level = level - 1
  return true
end

local function name_of(class, key) return "rl:{" .. class .. ":" .. key .. "}" end

--- Takes one token.
--- @param names table|nil  class -> name of the bucket, kept by who asks again and again with the same key
--- @return boolean allowed, number|nil retry_after_s
function ratelimit.take(class, key, names)
  local full_key = names and names[class]
  if not full_key then
    full_key = name_of(class, key)
    if names then names[class] = full_key end
  end
  local now = clock.mono_ms()
  local purse = purses[full_key]
  if purse and purse.n >= 1 and purse.ends > now then
    purse.n = purse.n - 1
    return true
  end
  if purse and purse.refused_until and purse.refused_until > now then
    return false, math.max(1, math.ceil((purse.next_token - now) / 1000))
  end
  local limit = limit_of(class)
  -- One of many that ask at the same moment fetches for all to come; the others fetch for themselves only.
  local chunk = fetching[full_key] and 1 or math.max(1, math.floor(limit.per_second / 20))
  local mine = chunk > 1
  if mine then fetching[full_key] = true end
  local reply = redis.connected() and bucket:call({ full_key }, tostring(limit.per_second), limit.burst, chunk, 1)
  if mine then fetching[full_key] = nil end
  if not reply then return take_here(full_key, limit, now) end
  if reply[1] < 1 then
    now = clock.mono_ms()
    purse = purses[full_key]
    -- What another request has fetched meanwhile stays good.
    if not (purse and purse.n >= 1 and purse.ends > now) then purse = purse_of(full_key, now, REFUSED_MS) end
    purse.next_token = now + reply[2]
    purse.refused_until = now + math.min(reply[2], REFUSED_MS)
    return false, math.max(1, math.ceil(reply[2] / 1000))
  end
  if reply[1] > 1 then
    purse = purse_of(full_key, now, 1000)
    purse.n = purse.n + reply[1] - 1
    purse.refused_until = nil
  end
  return true
end

--- Gives a token back: an attempt that turned out to be none.
function ratelimit.give_back(class, key)
  local limit = limit_of(class)
  local full_key = name_of(class, key)
  local here = purses["away:" .. full_key]
  if here and here.level then here.level = math.min(limit.burst, here.level + 1) end
  if purses[full_key] then purses[full_key].refused_until = nil end
  if redis.connected() then bucket:call({ full_key }, tostring(limit.per_second), limit.burst, -1, 1) end
end

return ratelimit
