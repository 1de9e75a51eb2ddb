-- SPDX-License-Identifier: Apache-2.0
--- A token bucket of requests and of tokens, shared by all workers through Redis. It holds ten seconds' worth of each.
---
--- Each worker has a purse: where the limit is high it fetches a twentieth of a second's worth ahead, so that most requests cost no
--- round trip; with less than 40 requests a second each costs one. What is fetched and not used within a second is lost. What a
--- request turned out not to need (or to need more) goes along with the next fetch.
---
--- What is left of the last tenth is for calls and campaigns only, and that of the last fifth not for the API: so a live call finds
--- something where the API has taken all it could get, also from other workers.
---
--- While Redis is away each worker has a bucket of its own: a limit may then be exceeded as many times as there are workers.
local clock = require "core.clock"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"

local bucket = {}
bucket.__index = bucket

local PURSE_MS = 1000
local BURST_S = 10

--- The share of a limit that is kept from each priority.
bucket.kept_from = { call = 0, campaign = 0.1, api = 0.2 }

-- KEYS[1]; for requests and then for tokens: rate a second (0: no limit), burst, wanted, needed (what must be there), taken at least,
-- given back. Takes of both or of none. Returns { requests, tokens, wait ms } (whole numbers).
local script = redis.script [[
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local state = redis.call('HMGET', KEYS[1], 'r', 't', 'at')
local at = tonumber(state[3]) or now
local level, out, wait, keep_ms = {}, {}, 0, 1000
for i = 0, 1 do
  local rate, burst = tonumber(ARGV[i * 6 + 1]), tonumber(ARGV[i * 6 + 2])
  if rate > 0 then
    local n = (tonumber(state[i + 1]) or burst) + math.max(0, now - at) * rate / 1000 + tonumber(ARGV[i * 6 + 6])
    level[i] = math.min(burst, n)
    local needed = tonumber(ARGV[i * 6 + 4])
    if level[i] < needed then wait = math.max(wait, math.ceil((needed - level[i]) / rate * 1000)) end
    keep_ms = math.max(keep_ms, math.ceil((burst - math.min(0, level[i])) / rate * 1000) + 1000)
  end
end
for i = 0, 1 do
  out[i + 1] = 0
  if level[i] and wait == 0 then
    out[i + 1] = math.max(tonumber(ARGV[i * 6 + 5]), math.min(tonumber(ARGV[i * 6 + 3]), math.floor(level[i])))
    level[i] = level[i] - out[i + 1]
  end
end
redis.call('HSET', KEYS[1], 'r', tostring(level[0] or 0), 't', tostring(level[1] or 0), 'at', now)
redis.call('PEXPIRE', KEYS[1], keep_ms)
return { out[1], out[2], wait }
]]

--- @param id string  unique in the installation
function bucket.new(id)
  return setmetatable({ key = rediskey("ai:rate:{", id, "}"), requests = 0, tokens = 0, ends = 0, owed = 0, owed_requests = 0 }, bucket)
end

-- Of a limit for a minute: rate a second, burst. 0: none.
local function of_minute(limit)
  if not limit then return 0, 0 end
  return limit / 60, math.max(1, math.floor(limit / 60 * BURST_S))
end

-- What must be there for one of a priority: never more than there can be.
local function needed(burst, least, kept) return math.min(burst, least + math.floor(burst * kept)) end

-- The same arithmetic on a level of this worker's own.
local function take_here(self, limits, tokens, kept, now)
  local r_rate, r_burst = of_minute(limits.requests_per_minute)
  local t_rate, t_burst = of_minute(limits.tokens_per_minute)
  local here = self.here or { r = r_burst, t = t_burst, at = now }
  self.here = here
  here.r = math.min(r_burst, here.r + (now - here.at) * r_rate / 1000 + self.owed_requests)
  here.t = math.min(t_burst, here.t + (now - here.at) * t_rate / 1000 + self.owed)
  here.at, self.owed, self.owed_requests = now, 0, 0
  local want_t = math.min(tokens, t_burst)
  local wait = 0
  if r_rate > 0 then wait = math.max(wait, (needed(r_burst, 1, kept) - here.r) / r_rate * 1000) end
  if t_rate > 0 then wait = math.max(wait, (needed(t_burst, want_t, kept) - here.t) / t_rate * 1000) end
  if wait > 0 then return false, math.ceil(wait) end
  here.r, here.t = here.r - 1, here.t - want_t
  return true
end

--- Takes one request and so many tokens: true, or false and the milliseconds after which it may be tried again. May wait for Redis.
--- More tokens than the bucket can ever hold are taken for all that it can hold.
--- @param limits table  { requests_per_minute, tokens_per_minute }, each may be nil
--- @param priority string  "call", "campaign", "api"
function bucket:take(limits, tokens, priority)
  if not limits.requests_per_minute and not limits.tokens_per_minute then return true end
  local now, kept = clock.mono_ms(), bucket.kept_from[priority]
  local r_rate, r_burst = of_minute(limits.requests_per_minute)
  local t_rate, t_burst = of_minute(limits.tokens_per_minute)
  tokens = math.min(tokens, t_burst)
  if self.ends > now and (r_rate == 0 or self.requests >= 1) and (t_rate == 0 or self.tokens >= tokens) then
    self.requests, self.tokens = self.requests - 1, self.tokens - tokens
    return true
  end
  if not redis.connected() then return take_here(self, limits, tokens, kept, now) end
  local ahead_r, ahead_t = math.floor(r_rate / 20), math.floor(t_rate / 20)
  if self.fetching then ahead_r, ahead_t = 0, 0 end  -- one of many that ask at the same moment fetches for all to come
  self.fetching = true
  local owed, owed_requests = self.owed, self.owed_requests
  self.owed, self.owed_requests = 0, 0
  local reply = script:call({ self.key }, tostring(r_rate), r_burst, math.max(1, ahead_r), needed(r_burst, 1, kept), 1, owed_requests,
    tostring(t_rate), t_burst, math.max(tokens, ahead_t), needed(t_burst, tokens, kept), tokens, owed)
  self.fetching = nil
  if not reply then
    self.owed, self.owed_requests = self.owed + owed, self.owed_requests + owed_requests
    return take_here(self, limits, tokens, kept, now)
  end
  if reply[3] > 0 then return false, reply[3] end
  now = clock.mono_ms()
  if self.ends <= now then self.requests, self.tokens = 0, 0 end
  -- Where one has no limit the other's purse decides.
  self.requests, self.tokens = self.requests + math.max(0, reply[1] - 1), self.tokens + math.max(0, reply[2] - tokens)
  self.ends = now + PURSE_MS
  self.here = nil
  return true
end

--- Gives back tokens that were taken and not needed; a negative number takes what was needed and not taken. requests: 1 for a
--- request that was not made after all.
function bucket:give(tokens, requests)
  self.owed, self.owed_requests = self.owed + tokens, self.owed_requests + (requests or 0)
end

return bucket
