-- SPDX-License-Identifier: Apache-2.0
--- What all calls of one tenant may ask of this worker: a bucket of tokens for verbs. Who has used his up is answered later, never
--- refused. Arithmetic only: the time is given.
---
--- The default is more than 8,000 calls at a time need. A burst is so much more, for thousands of calls that are taken up from a
--- dead worker ask at once for what they had asked before. A bucket may owe: those who wait are bounded by the calls that are up.
local config = require "core.config"

local quota = {}

quota.BURST_S = 16      -- seconds' worth of tokens in a full bucket
local TELL_MS = 60000
local SWEEP = 1024      -- so many buckets are looked through for full ones, which say nothing

local buckets, count, sweep_at = {}, 0, SWEEP

--- Verbs a second: the tenant's own limit, or everybody's.
function quota.per_second(tenant)
  return tenant.limits and tenant.limits.verbs_per_second or config.limits.verbs_per_second
end

local function level(bucket, now)
  return math.min(bucket.burst, bucket.tokens + (now - bucket.at) * bucket.per_second / 1000)
end

local function bucket_of(tenant, now)
  local bucket = buckets[tenant.id]
  if bucket then return bucket end
  if count >= sweep_at then
    for id, other in pairs(buckets) do
      if level(other, now) >= other.burst then buckets[id], count = nil, count - 1 end
    end
    sweep_at = math.max(SWEEP, 2 * count)
  end
  bucket = { tokens = math.huge, at = now }
  buckets[tenant.id], count = bucket, count + 1
  return bucket
end

--- Takes what a verb costs.
--- @param now number  milliseconds, monotonic
--- @return number wait_ms   before it is dealt with; 0: at once
--- @return boolean tell     its admin should hear of it: true at most once a minute
function quota.take(tenant, cost, now)
  local bucket = bucket_of(tenant, now)
  local per_second = quota.per_second(tenant)
  if bucket.per_second and per_second < bucket.per_second then  -- what was owed by the old limit would be paid off for hours by the new one
    bucket.tokens = math.max(bucket.tokens, -per_second)
  end
  bucket.per_second, bucket.burst = per_second, per_second * quota.BURST_S
  bucket.tokens = level(bucket, now) - cost
  bucket.at = now
  if bucket.tokens >= 0 then return 0, false end
  local tell = not bucket.told or now - bucket.told >= TELL_MS
  if tell then bucket.told = now end
  return math.ceil(-bucket.tokens / bucket.per_second * 1000), tell
end

return quota
