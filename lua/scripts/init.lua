-- SPDX-License-Identifier: Apache-2.0
--- Bundles: a tenant's scripts as versions by content, and the pointer to the one that new calls run.
local audit = require "audit"
local bundle = require "core.bundle"
local cells = require "scripts.cells"
local checks = require "scripts.checks"
local clock = require "core.clock"
local crypto = require "core.crypto"
local fault = require "core.fault"
local hook_rules = require "scripts.hooks.rules"
local json = require "core.json"
local log = require "core.log"
local money_rules = require "money.rules"
local operator = require "scripts.operator"
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

-- What a file that is data gives: value, or nil, err. Asked in a cell of its own, which knows the two bundles.
local function value_of(hook, hash, bundles)
  local asked, value = cells.hook({ id = -2, slug = "(operator's check)", db = operator.tenant.db, bundles = bundles }, hash, hook.file, "", {})
  if asked == nil then return nil, value end
  if not asked then return nil, { code = "invalid", text = value.text, file = value.file, line = value.line } end
  local checked, wrong = hook_rules.output(hook, value, {})
  if not checked then return nil, { code = "invalid", text = wrong or "the file returns nothing" } end
  return checked
end

-- The operator's data must make sense before anybody pays by it: problems, or nil, err when no cell could tell.
local function data_problems(result, names, hash, bytes)
  local shipped, problems = operator.shipped(), {}
  local bundles = { [hash] = bytes, [shipped.hash] = shipped.bytes }
  for _, name in ipairs(names) do
    local hook = hook_rules.named(name)
    if hook.data then
      local value, err = value_of(hook, hash, bundles)
      if not value and err.code ~= "invalid" then return nil, err end
      local wrong = err and err.text
      if value and name == "prices" then
        local default
        default, err = value_of(hook, shipped.hash, bundles)
        if not default then return nil, err end
        wrong = money_rules.missing_problem(value, default)
      end
      if wrong then
        local placed = err and (err.line or 0) > 0
        problems[#problems + 1] = { file = placed and err.file or hook.file, line = placed and err.line or result.files[hook.file].line, text = wrong }
      end
    end
  end
  return problems
end

-- Files as a version: { hash, bytes, report = JSON }; or nil, err.
local function checked(tenant, files)
  local operators = tenant.id == operator.tenant.id
  local problems = rules.files(files, operators)
  if #problems > 0 then return nil, invalid(problems) end
  table.sort(files, function(a, b) return a.path < b.path end)
  local bytes, err = bundle.pack(files)
  if not bytes then return nil, { code = "invalid", text = err.text, problems = { { text = err.text } } } end
  local hash = crypto.hex(crypto.sha256(bytes))
  local result, hooks
  result, err = checks.run(tenant, #bytes, cells.check, bytes, hook_rules.files(operators))
  if not result then return nil, err end
  problems, hooks = rules.report(result, files, operators)
  if operators and #problems == 0 then
    problems, err = data_problems(result, hooks, hash, bytes)
    if not problems then return nil, err end
  end
  if #problems > 0 then return nil, invalid(problems) end
  local ok, report = pcall(json.encode, { bundle = result.bundle, flows = result.flows, hooks = json.array(hooks), files = #files, size = #bytes })
  if not ok then
    return nil, invalid{ { file = "bundle.lua", line = 1, text = "what the file returns cannot be kept: " .. report:gsub("^.-:%d+: ", "") } }
  end
  return { hash = hash, bytes = bytes, report = report }
end

--- Packs, checks and stores files as a version. Storing what is stored already is no error.
--- @param files table  list of { path =, data = }
--- @return table|nil  { hash =, report = }; or nil, { code = "invalid", text =, problems = { { file, line, text } } }
function scripts.upload(tenant, files, actor, trace)
  local version, err = checked(tenant, files)
  if not version then return nil, err end
  local hash, bytes, report = version.hash, version.bytes, version.report
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

-- What the operator's first version follows: the rules that ship, stored so that a roll-back finds them. Without a report: should
-- others ship by then, it is those that hold.
local function what_ships(tx)
  if not audit.of_platform(tx) then return nil end
  local shipped = operator.shipped()
  store.bundle_insert(tx, shipped.hash, shipped.bytes, "{}", "system")
  return shipped.hash
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
  local previous = pointer and pointer.hash
  if not pointer then previous = what_ships(tx) end
  store.move_insert(tx, "live", seen + 1, target, previous, action, actor, now)
  fault.point("bundle.move_noted")
  local kind = action == "rollback" and "bundle.rolled_back" or "bundle.published"
  audit.record(tx, { actor = actor, action = kind, subject = target:sub(1, 12), fields = { version = seen + 1 }, trace = trace })
  audit.event(tx, { type = kind, subject = target:sub(1, 12), data = { hash = target, version = seen + 1 }, trace = trace })
  return { hash = target, version = seen + 1, previous = previous }
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

-- Where nothing was ever published there is no copy either, and the row is asked for at most so often: a publisher makes the copy.
local UNPUBLISHED_MS = 1000
local unpublished = {}  -- tenant id -> mono ms

-- What holds where nothing is published.
local function shipped_for(tenant)
  return tenant.id == operator.tenant.id and operator.shipped().hash or nil
end

--- The version that a new call runs: the copy in Redis, else the row; of the operator, else what ships. Returns hash or nil.
function scripts.live(tenant)
  confirm(tenant)
  local hash = redis.call("HGET", pointer_key(tenant), "hash")
  if hash and hash ~= redis.null then return hash end
  local now = clock.mono_ms()
  if hash and (unpublished[tenant.id] or -math.huge) + UNPUBLISHED_MS > now then return shipped_for(tenant) end
  local pointer = store.pointer(tenant.db, "live")
  if not pointer or not pointer.hash then
    unpublished[tenant.id] = now
    return shipped_for(tenant)
  end
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

--- What the check found when the version was uploaded: bundle (its table), flows, hooks (names). Cached: a version never changes.
local reports, report_order = {}, {}
local function row_of(tenant, hash)
  if hash == operator.shipped().hash then
    local version, err = checked(operator.tenant, operator.shipped().files)
    if not version then log.error("operator.shipped_rules", { text = err.text }) end
    return version
  end
  -- The operator's flows run for tenants that have none.
  return store.bundle(tenant.db, hash) or tenant.id ~= operator.tenant.id and store.bundle(operator.tenant.db, hash) or nil
end

function scripts.report(tenant, hash)
  local key = tenant.id .. ":" .. hash
  if not reports[key] then
    local row = row_of(tenant, hash)
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
