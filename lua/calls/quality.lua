-- SPDX-License-Identifier: Apache-2.0
--- How a call's sound came over the wire, from what its leg has counted: kept with the call, shown with it, and in the metrics. Of a call
--- that was taken up it is what the last worker saw. And the figures of a tenant's days: those of each answered call are added to its day's in
--- the transaction that ends it, once, whoever ends it again. Days are those of UTC, by the call's end.
local clock = require "core.clock"
local db = require "lib.db"
local figures = require "calls.figures"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local store = require "calls.store"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"
local timer = require "core.timer"

local quality = {}

quality.KEPT_DAYS = 400
quality.RANK_MS = 5000      -- between two times that a worker tells a tenant's place
local DAY_US = 86400 * 1e6
local AT_ONCE = 500         -- rows that are removed
local PARTS = 8             -- of a day, each a row that is one transaction's until its commit is durable
local ROWS_AT_ONCE = 16     -- that are added up before others have their turn
local MANY_DAMAGED = 1000   -- rows that this worker knows it has told of
local RANKED_TURNS = 20     -- a tenant with fewer in a day is not compared with others
local RANKED_S = 2 * 86400

local function rounded(n, places) return math.floor(n * 10 ^ places + 0.5) / 10 ^ places end

--- @param stats table|nil  of a leg: received, lost, late, jitter_ms, concealed_ms, mos
--- @return table|nil  { received, lost, late (packets), lossPercent, jitterMs, concealedMs, mos }; nil when nothing came
function quality.of(stats)
  if not stats or stats.received == 0 then return nil end
  return {
    received = stats.received, lost = stats.lost, late = stats.late, lossPercent = rounded(100 * stats.lost / (stats.received + stats.lost), 2),
    jitterMs = rounded(stats.jitter_ms, 1), concealedMs = rounded(stats.concealed_ms, 0), mos = rounded(stats.mos, 2),
  }
end

--- Counts the call in.
function quality.observe(seen)
  metrics.count("call_packets_received_total", nil, seen.received, "audio packets that callers sent, as they came")
  metrics.count("call_packets_lost_total", nil, seen.lost, "audio packets of callers that never came")
  metrics.observe("call_jitter_seconds", nil, seen.jitterMs / 1000, "jitter of a caller's audio at the call's end")
end

-- a tenant's days ------------------------------------------------------------------------------------------------------------

-- What fn returns; nil, why when it would fail again. What passes is raised.
local function tried(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  if db.is_failure(result) and result.code ~= "invalid" then error(result, 0) end
  return nil, tostring(result)
end

local function add(tx, day, part, one)
  local all, before = figures.new(), store.hold_quality_day(tx, day, part)
  if before then
    local kept, why = figures.read(before)
    if not kept then error(("the figures of %s, part %d, are damaged: %s"):format(day, part, why), 0) end
    figures.merge(all, kept)
  end
  figures.merge(all, one)
  store.set_quality_day(tx, day, part, json.encode(all))
  return true
end

--- Adds a call that ends to its day, in the transaction that ends it. Returns the day; nil when it was counted before; nil, why when it never can be:
--- then nothing of it is written, and what else the transaction writes stands. Raises what passes, such as a database that is away.
--- @param end_time string       SQL text
--- @param measured table|nil    calls.figures of its turns
--- @param seen table|nil        see quality.of
function quality.count(tx, call_id, end_time, measured, seen)
  local one, why = tried(figures.call, measured, seen)
  if not one then return nil, why end
  local day = end_time:sub(1, 10)
  local new
  new, why = tried(store.quality_insert, tx, { call_id = call_id, day = day, turns = one.turns, slow_turns = one.slow,
    longest_gap_ms = one.turns > 0 and math.floor(one.longest + 0.5) or nil, received = one.received, lost = one.lost,
    jitter_ms = seen and seen.jitterMs, mos = seen and seen.mos })
  if not new then return nil, why end
  new, why = tried(add, tx, day, call_id % PARTS, one)
  if new then return day end
  store.quality_remove(tx, call_id)
  return nil, why
end

local damaged, damaged_count = {}, 0  -- tenant id, day and part -> true: a row that this worker has told of

-- Told of once: days are read anew at each call that ends.
local function tell_damaged(tenant, row, why)
  local key = ("%d %s %d"):format(tenant.id, row.day, row.part)
  if damaged[key] then return end
  if damaged_count == MANY_DAMAGED then damaged, damaged_count = {}, 0 end
  damaged[key], damaged_count = true, damaged_count + 1
  log.warn("quality.damaged", { tenant = tenant.slug, day = row.day, part = row.part, text = why })
end

-- day -> its figures, without the parts that are damaged. Other days are shown, and the rest of that one.
local function found_days(tenant, first, last)
  local found = {}
  for i, row in ipairs(store.quality_days(tenant.db, first, last)) do
    local part, why = figures.read(row.figures)
    local all = found[row.day]
    if not part then
      tell_damaged(tenant, row, why)
    elseif all then
      figures.merge(all, part)
    else
      found[row.day] = part
    end
    if i % ROWS_AT_ONCE == 0 then task.sleep(0) end
  end
  return found
end

--- The days from one to another, both with ("2026-11-27"): list of { day, figures }, also those without a call, and the figures of all.
function quality.days(tenant, first, last)
  local found, days, whole = found_days(tenant, first, last), {}, figures.new()
  local at, ends = clock.parse(first .. "T00:00:00Z"), clock.parse(last .. "T00:00:00Z")
  while at <= ends do
    local day = time.sql(at):sub(1, 10)
    if found[day] then figures.merge(whole, found[day]) end
    days[#days + 1] = { day = day, figures = found[day] or figures.new() }
    at = at + DAY_US
  end
  return days, whole
end

--- Removes what is older than KEPT_DAYS.
function quality.expire(tenant)
  local before = time.sql(clock.wall_us() - quality.KEPT_DAYS * DAY_US):sub(1, 10)
  while store.remove_call_quality(tenant.db, before, AT_ONCE) == AT_ONCE do end
  store.remove_quality_days(tenant.db, before)
end

-- which tenants are slow -------------------------------------------------------------------------------------------------------

local function rank_key(day) return rediskey("quality:", day) end

local function rank(tenant, day)
  local _, all = quality.days(tenant, day, day)
  if all.turns < RANKED_TURNS then return end
  redis.call("ZADD", rank_key(day), ("%.6f"):format(all.slow / all.turns), tostring(tenant.id))
  redis.call("EXPIRE", rank_key(day), tostring(RANKED_S))
end

local ranking = {}  -- tenant id and day -> true: its place is going to be told

--- A call of the tenant was counted: its place is told in RANK_MS, once for all that are counted until then. What fails, or is lost with this worker,
--- the tenant's next call makes good.
function quality.rank(tenant, day)
  local key = tenant.id .. " " .. day
  if ranking[key] then return end
  ranking[key] = true
  timer.after(quality.RANK_MS, function()
    ranking[key] = nil
    local ok, err = pcall(rank, tenant, day)
    if not ok then log.warn("quality.not_ranked", { tenant = tenant.slug, text = tostring(err) }) end
  end)
end

--- The tenants of which today the largest share of turns took longer than a second, at most so many: list of { tenant, figures }; nil, err.
function quality.slowest(limit)
  local day = time.now():sub(1, 10)
  local ids, err = redis.call("ZREVRANGE", rank_key(day), "0", tostring(limit - 1))
  if not ids then return nil, err end
  local out = {}
  for _, id in ipairs(ids) do
    local tenant = tenants.get(tonumber(id))
    if tenant and tenant.db then
      local _, all = quality.days(tenant, day, day)
      out[#out + 1] = { tenant = tenant, figures = all }
    end
  end
  return out, day
end

return quality
