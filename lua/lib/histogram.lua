-- SPDX-License-Identifier: Apache-2.0
--- Counts of times in buckets that are wider the longer the times: eight to a doubling, so that a percentile is within a twentieth of the true one
--- from 1 ms to a minute, and a histogram is never more than 129 numbers. One is a plain table, number of the bucket (as text, for JSON) -> how many;
--- those of two days are added to those of both. Arithmetic only.
local histogram = {}

local PER_DOUBLING = 8
local LAST = 128  -- 2 ^ 16 ms, and all above

local MOST = 2 ^ 52   -- that one bucket can have counted

local names, known = {}, {}  -- of the buckets; name -> true
for i = 0, LAST do
  names[i] = tostring(i)
  known[names[i]] = true
end

--- The bucket of a time in ms.
function histogram.bucket(ms)
  if ms <= 1 then return names[0] end
  return names[math.min(LAST, math.ceil(PER_DOUBLING * math.log(ms) / math.log(2)))]
end

function histogram.add(counts, ms)
  local bucket = histogram.bucket(ms)
  counts[bucket] = (counts[bucket] or 0) + 1
end

--- Adds what another has counted.
function histogram.merge(counts, other)
  for bucket, n in pairs(other) do counts[bucket] = (counts[bucket] or 0) + n end
end

--- Is what was read from somewhere one? All that it counted must be in buckets there are, or no percentile is found.
function histogram.is_one(value)
  if type(value) ~= "table" then return false end
  for bucket, n in pairs(value) do
    if not known[bucket] or type(n) ~= "number" or n < 1 or n > MOST or n % 1 ~= 0 then return false end
  end
  return true
end

local function total(counts)
  local sum = 0
  for _, n in pairs(counts) do sum = sum + n end
  return sum
end

--- The time in ms that this share (0.5, 0.99) of all is not above, and its bucket; nil when there are none.
function histogram.percentile(counts, share)
  local rank, seen = math.max(1, math.ceil(share * total(counts) - 1e-9)), 0
  for i = 0, LAST do
    seen = seen + (counts[names[i]] or 0)
    -- The middle of the bucket: no time in it is further than a twentieth from it.
    if seen >= rank then return i == 0 and 1 or 2 ^ ((i - 0.5) / PER_DOUBLING), names[i] end
  end
end

return histogram
