-- SPDX-License-Identifier: Apache-2.0
--- Bundles: a tenant's scripts as versions by content, and the pointer to the one that new calls run.
local audit = require "audit"
local bundle = require "core.bundle"
local cells = require "scripts.cells"
local clock = require "core.clock"
local crypto = require "core.crypto"
local fault = require "core.fault"
local json = require "core.json"
local log = require "core.log"
local pii = require "lib.pii"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local rules = require "scripts.rules"
local store = require "scripts.store"
local task = require "core.task"
local time = require "lib.time"

local scripts = {}

local function pointer_key(tenant) return rediskey("bundle:" .. tenant.id) end

local function invalid(problems)
  local first = problems[1]
  local place = first.file and first.file ~= "" and (first.line and ("%s:%d: "):format(first.file, first.line) or first.file .. ": ") or ""
  return { code = "invalid", text = place .. first.text, problems = problems }
end

--- Packs, checks and stores files as a version. Storing what is stored already is no error.
--- @param files table  list of { path =, data = }
--- @return table|nil  { hash =, report = }; or nil, { code = "invalid", text =, problems = { { file, line, text } } }
function scripts.upload(tenant, files, actor, trace)
  local problems = rules.files(files)
  if #problems > 0 then return nil, invalid(problems) end
  table.sort(files, function(a, b) return a.path < b.path end)
  local bytes, err = bundle.pack(files)
  if not bytes then return nil, { code = "invalid", text = err.text, problems = { { text = err.text } } } end
  local hash = crypto.hex(crypto.sha256(bytes))
  local result
  result, err = cells.check(bytes)
  if not result then return nil, err end
  problems = rules.report(result, files)
  if #problems > 0 then return nil, invalid(problems) end
  local ok, report = pcall(json.encode, { bundle = result.bundle, flows = result.flows, files = #files, size = #bytes })
  if not ok then
    return nil, invalid{ { file = "bundle.lua", line = 1, text = "what the file returns cannot be kept: " .. report:gsub("^.-:%d+: ", "") } }
  end
  audit.transaction(tenant, function(tx)
    local inserted = store.bundle_insert(tx, hash, bytes, report, actor)
    fault.point("bundle.inserted")
    if inserted.affected > 0 then
      audit.record(tx, { actor = actor, action = "bundle.uploaded", subject = hash:sub(1, 12), fields = { size = #bytes }, trace = trace })
      audit.event(tx, { type = "bundle.uploaded", subject = hash:sub(1, 12), data = { hash = hash, size = #bytes }, trace = trace })
    end
    return true
  end)
  fault.point("bundle.stored")
  return { hash = hash, report = json.decode(report) }
end

--- Moves the live pointer in a transaction; scripts.moved() is owed after its commit.
--- @param expected number|nil  the pointer's number that the publisher saw (nil: any)
--- @param action string  "publish" or "rollback" (hash is then not asked for)
--- @return table|nil  { hash =, version =, previous = }; or nil, { code = "not_found" | "stale" | "first", text = }
function scripts.move(tx, hash, actor, expected, action, trace)
  local now = time.sql(clock.wall_us())
  local pointer = store.pointer_lock(tx, "live")
  local target = hash
  if action == "rollback" then
    local previous = pointer and store.previous(tx, "live", pointer.hash)
    if not previous then return nil, { code = "first", text = "there is no earlier version to go back to" } end
    target = previous.hash
  end
  local seen = pointer and pointer.version or 0
  if expected and expected ~= seen then
    return nil, { code = "stale", text = ("Somebody else published meanwhile: the pointer is at %d. Look at it and publish again."):format(seen) }
  end
  if not store.bundle_exists(tx, target) then return nil, { code = "not_found", text = "There is no such version; upload it first." } end
  if pointer then
    store.pointer_move(tx, "live", target, seen + 1, actor, now)
  elseif not store.pointer_insert(tx, "live", target, actor, now) then
    return nil, { code = "stale", text = "Somebody else published at the same moment. Look at it and publish again." }
  end
  fault.point("bundle.pointer_moved")
  store.move_insert(tx, "live", seen + 1, target, pointer and pointer.hash, action, actor, now)
  fault.point("bundle.move_noted")
  local kind = action == "rollback" and "bundle.rolled_back" or "bundle.published"
  audit.record(tx, { actor = actor, action = kind, subject = target:sub(1, 12), fields = { version = seen + 1 }, trace = trace })
  audit.event(tx, { type = kind, subject = target:sub(1, 12), data = { hash = target, version = seen + 1 }, trace = trace })
  return { hash = target, version = seen + 1, previous = pointer and pointer.hash }
end

--- Tells the workers of a move that is committed. The copy in Redis is what new calls read.
function scripts.moved(tenant, move, actor)
  fault.point("bundle.published")
  scripts.remember(tenant, move.hash, move.version)
  fault.point("bundle.remembered")
  redis.call("PUBLISH", rediskey("bundles"), tenant.id .. " " .. move.hash)
  log.info("bundle.published", { tenant = tenant.slug, hash = move.hash:sub(1, 12), version = move.version, by = actor })
end

local remember = redis.script [[
  local seen = tonumber(redis.call('HGET', KEYS[1], 'version') or '-1')
  if tonumber(ARGV[2]) > seen then redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'version', ARGV[2]) end
  return redis.call('HGET', KEYS[1], 'hash')
]]

function scripts.remember(tenant, hash, version)
  return remember:call({ pointer_key(tenant) }, hash, version)
end

-- The copy may be older than the row: Redis was away, or a publisher died after its commit. So each worker compares
-- them now and then, behind the back of the call that asks.
local CONFIRM_MS = 5000
local confirmed = {}  -- tenant id -> mono ms

--- Compares them now: for a repeated request, whose first try may have died between the commit and the copy.
function scripts.confirm(tenant)
  local pointer = store.pointer(tenant.db, "live")
  if pointer and pointer.hash then scripts.remember(tenant, pointer.hash, pointer.version) end
end

local function confirm(tenant)
  local now = clock.mono_ms()
  if (confirmed[tenant.id] or -math.huge) + CONFIRM_MS > now then return end
  confirmed[tenant.id] = now
  task.spawn(scripts.confirm, tenant)
end

--- The version that a new call runs: the copy in Redis, else the row. Returns hash or nil.
function scripts.live(tenant)
  confirm(tenant)
  local hash = redis.call("HGET", pointer_key(tenant), "hash")
  if hash and hash ~= redis.null then return hash end
  local pointer = store.pointer(tenant.db, "live")
  if not pointer or not pointer.hash then return nil end
  scripts.remember(tenant, pointer.hash, pointer.version)
  return pointer.hash
end

--- The version that somebody names: by its hash, the beginning of one, or "live". Returns its hash, or nil, err.
function scripts.named(tenant, name)
  if name == "live" then
    local hash = scripts.live(tenant)
    if not hash then return nil, { code = "not_found", text = "no version is live" } end
    return hash
  end
  local found = name:match("^%x+$") and #name >= 6 and store.bundles_named(tenant.db, name:lower()) or {}
  if #found == 1 then return found[1].hash end
  return nil, { code = "not_found", text = #found == 0 and ("there is no version %s; GET /scripts/bundles lists them"):format(name)
    or ("several versions begin with %s; give more of the hash"):format(name) }
end

--- What the check found when the version was uploaded: bundle (its table), flows. Cached: a version never changes.
local reports, report_order = {}, {}
function scripts.report(tenant, hash)
  local key = tenant.id .. ":" .. hash
  if not reports[key] then
    local row = store.bundle(tenant.db, hash)
    if not row then return nil end
    reports[key] = json.decode(row.report)
    report_order[#report_order + 1] = key
    if #report_order > 256 then reports[table.remove(report_order, 1)] = nil end
  end
  return reports[key]
end

--- One file of a version, for play.
function scripts.file(tenant, hash, path)
  local bytes = cells.bundle_bytes(tenant, hash)
  local files = bytes and bundle.files(bytes)
  for _, file in ipairs(files or {}) do
    if file.path == path then return file.data end
  end
  return nil
end

--- Writes a line to the tenant's script log. It never fails the caller: a log is not worth a call.
function scripts.log(tenant, entry)
  entry.at = time.sql(clock.wall_us())
  entry.text = pii.seal(tenant, "script_log.text", entry.text)
  local ok, err = store.log_insert(tenant.db, entry)
  if not ok then log.warn("script_log.not_written", { tenant = tenant.slug, text = err.text }) end
end

return scripts
