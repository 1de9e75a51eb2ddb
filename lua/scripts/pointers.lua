-- SPDX-License-Identifier: Apache-2.0
--- Which versions new calls run: the live one, and a share of them the canary. The rows are the truth; a copy of both in
--- Redis is what a new call reads, in one round trip. What moves a pointer (publish, rollback, canary, promote, cancel, demote)
--- does so in a transaction and returns a move, with which pointers.moved() is owed after the commit:
---   { kind =, live = { hash, version, previous } | nil, canary = { hash | nil, version, share, previous } | nil }
--- or nil, { code = "stale" | "first" | "not_found" | "specs" | "running" | "none" | "live", text =, ... }.
---
--- order: { actor =, trace =, expected = the pointer's number that was seen (nil: any), skip_specs = true, reason = }
local audit = require "audit"
local clock = require "core.clock"
local db = require "lib.db"
local fault = require "core.fault"
local json = require "core.json"
local log = require "core.log"
local operator = require "scripts.operator"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local rules = require "scripts.rules"
local store = require "scripts.store"
local task = require "core.task"
local time = require "lib.time"

local pointers = {}

-- moves ----------------------------------------------------------------------------------------------------------------------

local function stale(seen)
  return nil, { code = "stale", text = ("Somebody else moved it meanwhile: the pointer is at %d. Look at it (GET /scripts/live) and try again."):format(seen) }
end

-- That the version is there, and that what its author expects of it holds.
local function fit(tx, hash, order)
  local row = store.bundle(tx, hash)
  if not row then return nil, { code = "not_found", text = "There is no such version; upload it first." } end
  local problem = rules.specs_problem((json.decode(row.report) or {}).specs)
  if problem and not order.skip_specs then return nil, problem end
  return true, problem ~= nil
end

-- What is written of every move. fields: more for the audit row; data: more for the event.
local function note(tx, kind, name, version, hash, previous, action, order, fields, data)
  local now = time.sql(clock.wall_us())
  local subject = (hash or previous):sub(1, 12)
  store.move_insert(tx, name, version, hash, previous, action, order.actor, now)
  fault.point("bundle.move_noted")
  fields, data = fields or {}, data or {}
  fields.version, data.hash, data.version = version, hash or previous, version
  if fields.specs_skipped then fields.reason = order.reason end
  audit.record(tx, { actor = order.actor, action = kind, subject = subject, fields = fields, trace = order.trace })
  audit.event(tx, { type = kind, subject = subject, data = data, trace = order.trace })
end

-- Ends the canary; its row stays.
local function clear_canary(tx, canary, action, kind, order, fields, data)
  local version = canary.version + 1
  store.canary_move(tx, { hash = nil, share = 0, version = version, error_limit = 0, min_calls = 0, calls_before = 0, failed_before = 0 },
    order.actor, time.sql(clock.wall_us()))
  if kind then
    note(tx, kind, "canary", version, nil, canary.hash, action, order, fields, data)
  else
    store.move_insert(tx, "canary", version, nil, canary.hash, action, order.actor, time.sql(clock.wall_us()))
  end
  return { hash = nil, version = version, share = 0, previous = canary.hash }
end

-- What the operator's first version follows: the rules that ship, stored so that a roll-back finds them. Without a report: should
-- others ship by then, it is those that hold.
local function what_ships(tx)
  if not audit.of_platform(tx) then return nil end
  local shipped = operator.shipped()
  store.bundle_insert(tx, shipped.hash, shipped.bytes, "{}", "system")
  return shipped.hash
end

-- A canary beside what somebody has just made live would be a surprise: it ends.
local function move_live(tx, at, target, action, kind, order, specs_skipped)
  local now = time.sql(clock.wall_us())
  local live = at.live
  local version = live and live.version + 1 or 1
  if live then
    store.live_move(tx, target, version, order.actor, now)
  elseif not store.live_insert(tx, target, order.actor, now) then
    return stale(version)
  end
  fault.point("bundle.pointer_moved")
  local previous = live and live.hash
  if not live then previous = what_ships(tx) end
  note(tx, kind, "live", version, target, previous, action, order, { specs_skipped = specs_skipped or nil })
  local move = { kind = kind, live = { hash = target, version = version, previous = previous } }
  if at.canary.hash then
    move.canary = clear_canary(tx, at.canary, at.canary.hash == target and "promote" or "cancel",
      at.canary.hash ~= target and "bundle.canary_cancelled" or nil, order)
  end
  return move
end

--- Makes a version live.
function pointers.publish(tx, hash, order)
  local at = store.pointers_lock(tx)
  local seen = at.live and at.live.version or 0
  if order.expected and order.expected ~= seen then return stale(seen) end
  local ok, skipped = fit(tx, hash, order)
  if not ok then return nil, skipped end
  return move_live(tx, at, hash, "publish", "bundle.published", order, skipped)
end

--- Goes back to the version before the live one.
function pointers.rollback(tx, order)
  local at = store.pointers_lock(tx)
  local previous = at.live and store.previous(tx, "live", at.live.hash)
  if not previous then return nil, { code = "first", text = "There is no earlier version to go back to." } end
  if order.expected and order.expected ~= at.live.version then return stale(at.live.version) end
  return move_live(tx, at, previous.hash, "rollback", "bundle.rolled_back", order)
end

--- Gives a share of new calls to a version, or changes share and limits of the one that has it already.
--- @param canary table  hash, share and error_limit (thousandths), min_calls
function pointers.canary(tx, canary, order)
  local at = store.pointers_lock(tx)
  local now = at.canary
  if order.expected and order.expected ~= now.version then return stale(now.version) end
  if not at.live then return nil, { code = "none", text = "No version is live yet: publish one, then give a share of its calls to another." } end
  if at.live.hash == canary.hash then return nil, { code = "live", text = "This version is live already: it has all calls." } end
  if now.hash and now.hash ~= canary.hash then
    return nil, { code = "running", text = ("Version %s is the canary already. Promote it or end it first."):format(now.hash:sub(1, 12)) }
  end
  local ok, skipped = fit(tx, canary.hash, order)
  if not ok then return nil, skipped end
  local use = now.hash and { calls = now.calls_before, failed = now.failed_before } or store.use(tx, canary.hash) or { calls = 0, failed = 0 }
  local version = now.version + 1
  store.canary_move(tx, { hash = canary.hash, share = canary.share, version = version, error_limit = canary.error_limit, min_calls = canary.min_calls,
    calls_before = use.calls, failed_before = use.failed }, order.actor, time.sql(clock.wall_us()))
  note(tx, "bundle.canary", "canary", version, canary.hash, now.hash, "canary", order, { share = canary.share / 10, specs_skipped = skipped or nil },
    { share = canary.share / 10 })
  return { kind = "bundle.canary", canary = { hash = canary.hash, version = version, share = canary.share, previous = now.hash } }
end

local function running(tx, order)
  local at = store.pointers_lock(tx)
  if not at.canary.hash then return nil, { code = "none", text = "No canary is running." } end
  if order.expected and order.expected ~= at.canary.version then return stale(at.canary.version) end
  return at
end

--- Makes the canary live.
function pointers.promote(tx, order)
  local at, err = running(tx, order)
  if not at then return nil, err end
  return move_live(tx, at, at.canary.hash, "promote", "bundle.published", order)
end

--- Ends the canary: all new calls run the live version.
function pointers.cancel(tx, order)
  local at, err = running(tx, order)
  if not at then return nil, err end
  return { kind = "bundle.canary_cancelled", canary = clear_canary(tx, at.canary, "cancel", "bundle.canary_cancelled", order) }
end

--- Ends the canary that failed, if it is still the one that was judged. Returns the move, or nil.
--- @param judged table  hash, version, calls, failed
function pointers.demote(tenant, judged)
  local move = audit.transaction(tenant, function(tx)
    local at = store.pointers_lock(tx)
    if at.canary.hash ~= judged.hash or at.canary.version ~= judged.version then return nil end
    local counts = { calls = judged.calls, failed = judged.failed }
    return { kind = "bundle.canary_rolled_back", canary = clear_canary(tx, at.canary, "auto", "bundle.canary_rolled_back", { actor = "system" },
      { calls = judged.calls, failed = judged.failed }, counts) }
  end)
  if move then pointers.moved(tenant, move, "system") end
  return move
end

-- the copy in Redis ------------------------------------------------------------------------------------------------------------

local function key_of(tenant) return rediskey("bundle:" .. tenant.id) end

-- Each pointer only ever goes on: a slow worker's older news change nothing.
local remember = redis.script [[
  if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[1], 'version') or '-1') then
    redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'version', ARGV[2])
  end
  if tonumber(ARGV[5]) > tonumber(redis.call('HGET', KEYS[1], 'canary_version') or '-1') then
    redis.call('HSET', KEYS[1], 'canary', ARGV[3], 'share', ARGV[4], 'canary_version', ARGV[5])
  end
  return 1
]]

local function keep(tenant, live, canary)
  return remember:call({ key_of(tenant) }, live and live.hash or "", live and live.version or -1,
    canary and canary.hash or "", canary and canary.share or 0, canary and canary.version or -1)
end

--- Hints to all workers that a version is about to be asked for, so that cells that run load it meanwhile. Nobody waits for it.
function pointers.announce(tenant, hash)
  task.spawn(redis.call, "PUBLISH", rediskey("bundles"), tenant.id .. " " .. hash)
end

--- Tells the workers of a move that is committed.
function pointers.moved(tenant, move, actor)
  fault.point("bundle.published")
  local news = move.live or move.canary
  if news.hash then pointers.announce(tenant, news.hash) end  -- goes out with the copy
  keep(tenant, move.live, move.canary)
  fault.point("bundle.remembered")
  log.info(move.kind, { tenant = tenant.slug, hash = (news.hash or news.previous):sub(1, 12), version = news.version, share = news.share, by = actor })
end

-- The copy may be older than the rows: Redis was away, or a publisher died after its commit. So each worker compares
-- them now and then, behind the back of the call that asks.
local CONFIRM_MS = 5000
local confirmed = {}  -- tenant id -> mono ms

--- Compares them now: for a repeated request, whose first try may have died between the commit and the copy.
function pointers.confirm(tenant)
  local rows = store.pointers(tenant.db)
  keep(tenant, rows.live, rows.canary)
  return rows
end

local function confirm_sometimes(tenant)
  local now = clock.mono_ms()
  if (confirmed[tenant.id] or -math.huge) + CONFIRM_MS > now then return end
  confirmed[tenant.id] = now
  task.spawn(function()
    local ok, err = pcall(pointers.confirm, tenant)
    -- The copy holds on while the database is away, which is told where somebody waits for it.
    if not ok and not db.is_failure(err) then error(err, 0) end
  end)
end

local function text(value) return value and value ~= redis.null and value ~= "" and value or nil end

-- Where nothing was ever published there is no copy either, and the row is asked for at most so often: a publisher makes the copy.
local UNPUBLISHED_MS = 1000
local unpublished = {}  -- tenant id -> mono ms

-- What holds where nothing is published.
local function shipped_for(tenant)
  return tenant.id == operator.tenant.id and operator.shipped().hash or nil
end

--- The version that a new call runs, by its id (nil: the live one): the copy in Redis, else the rows; of the operator, else what
--- ships.
--- Returns hash or nil, and whether it is the canary. The same id gets the same version as long as no pointer moves.
function pointers.pick(tenant, id)
  confirm_sometimes(tenant)
  local copy = redis.call("HMGET", key_of(tenant), "hash", "canary", "share")
  local live, canary, share = text(copy and copy[1]), text(copy and copy[2]), tonumber(text(copy and copy[3]))
  if not live then
    local now = clock.mono_ms()
    if copy and (unpublished[tenant.id] or -math.huge) + UNPUBLISHED_MS > now then return shipped_for(tenant) end
    local rows = pointers.confirm(tenant)
    if not rows.live then
      unpublished[tenant.id] = now
      return shipped_for(tenant)
    end
    live, canary, share = rows.live.hash, rows.canary.hash, rows.canary.share
  end
  if canary and id and share and rules.takes_canary(id, share) then return canary, true end
  return live, false
end

return pointers
