-- SPDX-License-Identifier: Apache-2.0
--- Bundles: a tenant's scripts as versions by content. Which of them new calls run: scripts.pointers; what came of it: scripts.use;
--- what they logged: scripts.log.
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
local pointers = require "scripts.pointers"
local promise = require "lib.promise"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local rules = require "scripts.rules"
local script_log = require "scripts.log"
local store = require "scripts.store"
local task = require "core.task"
local tenants = require "tenants"
local use = require "scripts.use"

local scripts = { pointers = pointers, log = script_log.add, count = use.count }

local function invalid(problems)
  local first = problems[1]
  local place = first.file and first.file ~= "" and (first.line and ("%s:%d: "):format(first.file, first.line) or first.file .. ": ") or ""
  return { code = "invalid", text = place .. first.text, problems = problems }
end

-- The tenant's own specs, run against the simulator: { passed, failed, failures } | nil, err.
local function run_specs(bytes, tenant)
  local sim = require "sim"  -- which runs flows, and so needs this file
  local result, err = sim.specs(bytes, { region = tenant.region, tenant = tenant })
  if not result then return nil, err end
  return rules.kept_specs(result)
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

--- Packs files and checks them as an upload does, and keeps nothing.
--- @param files table  list of { path =, data = }
--- @return table|nil  { bytes =, report = { bundle, flows, hooks, files, size, specs } }; or nil, { code = "invalid", text =,
---   problems = { { file, line, text } } } or the world's failure
function scripts.check(tenant, files)
  local operators = tenant.id == operator.tenant.id
  local problems = rules.files(files, operators)
  if #problems > 0 then return nil, invalid(problems) end
  table.sort(files, function(a, b) return a.path < b.path end)
  local bytes, err = bundle.pack(files)
  if not bytes then return nil, { code = "invalid", text = err.text, problems = { { text = err.text } } } end
  local result, hooks, specs
  result, err = checks.run(tenant, #bytes, cells.check, bytes, hook_rules.files(operators))
  if not result then return nil, err end
  problems, hooks = rules.report(result, files, operators)
  if operators and #problems == 0 then
    problems, err = data_problems(result, hooks, crypto.hex(crypto.sha256(bytes)), bytes)
    if not problems then return nil, err end
  end
  if #problems > 0 then return nil, invalid(problems) end
  if not operators then specs, err = checks.run(tenant, #bytes, run_specs, bytes, tenant) end
  if not specs and err then return nil, err end
  local report = { bundle = result.bundle, flows = result.flows, hooks = json.array(hooks), files = #files, size = #bytes, specs = specs }
  local ok, text = pcall(json.encode, report)
  if not ok then
    return nil, invalid{ { file = "bundle.lua", line = 1, text = "what the file returns cannot be kept: " .. text:gsub("^.-:%d+: ", "") } }
  end
  return { bytes = bytes, report = json.decode(text) }
end

--- Checks and stores files as a version. Storing what is stored already is no error; its report is the new one then.
--- Specs that fail do not keep a version from being stored, only from being published.
--- @param origin table  actor =, trace =, parent = hash | nil (then what is live)
--- @return table|nil  { hash =, report = }; or nil, err as scripts.check gives it
function scripts.upload(tenant, files, origin)
  local version, err = scripts.check(tenant, files)
  if not version then return nil, err end
  local bytes, report = version.bytes, json.encode(version.report)
  local hash = crypto.hex(crypto.sha256(bytes))
  audit.transaction(tenant, function(tx)
    local parent = origin.parent
    if not parent then
      local live = store.live_hash(tx)
      parent = live ~= hash and live or nil
    end
    local inserted = store.bundle_insert(tx, hash, bytes, report, origin.actor, parent)
    fault.point("bundle.inserted")
    if inserted.affected == 0 then
      store.bundle_report(tx, hash, report)
      return true
    end
    audit.record(tx, { actor = origin.actor, action = "bundle.uploaded", subject = hash:sub(1, 12), fields = { size = #bytes }, trace = origin.trace })
    audit.event(tx, { type = "bundle.uploaded", subject = hash:sub(1, 12), data = { hash = hash, size = #bytes }, trace = origin.trace })
    return true
  end)
  fault.point("bundle.stored")
  return { hash = hash, report = version.report }
end

--- The live version, or nil. What a new call runs is said by scripts.pointers.pick().
function scripts.live(tenant) return (pointers.pick(tenant)) end

--- The version that somebody names: by its hash, the beginning of one, or "live". Returns its hash, or nil, err.
function scripts.named(tenant, name)
  if name == "live" then
    local hash = scripts.live(tenant)
    if not hash then return nil, { code = "not_found", text = "no version is live" } end
    return hash
  end
  local found = name:match("^%x+$") and #name >= 6 and #name <= 64 and store.bundles_like(tenant.db, name:lower(), 2) or {}
  if #found == 1 then return found[1].hash end
  return nil, { code = "not_found", text = #found == 0 and ("there is no version %s; GET /scripts/bundles lists them"):format(name)
    or ("several versions begin with %s; give more of the hash"):format(name) }
end

--- What the check found when the version was uploaded: bundle (its table), flows, hooks (names). Cached: for calls it never changes.
local reports, report_order = {}, {}
local function row_of(tenant, hash)
  -- The operator's flows run for tenants that have none.
  return store.bundle(tenant.db, hash) or tenant.id ~= operator.tenant.id and store.bundle(operator.tenant.db, hash) or nil
end

-- The report of the rules that ship: checked once, behind the back of whoever asks first; nil until it is there.
local shipped_report, shipped_asked
local SHIPPED_AGAIN_MS = 5000
local function report_of_shipped()
  if not shipped_report and not shipped_asked then
    shipped_asked = promise.new()
    task.spawn(function()
      local ok, version, err = pcall(scripts.check, operator.tenant, operator.shipped().files)
      if ok and version then
        shipped_report = version.report
        shipped_asked:give(true)
        return
      end
      log.error("operator.shipped_rules", { text = tostring(ok and err and err.text or version) })
      shipped_asked:give(true)
      task.sleep(SHIPPED_AGAIN_MS)
      shipped_asked = nil
    end)
  end
  return shipped_report
end

--- Waits until the rules that ship have been checked; for who starts and for tests.
function scripts.wait_for_shipped()
  if not report_of_shipped() and shipped_asked then shipped_asked:wait() end
  return shipped_report
end

function scripts.report(tenant, hash)
  if hash == operator.shipped().hash then return report_of_shipped() end
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

--- The files of a version: list of { path =, data = }, or nil.
function scripts.files(tenant, hash)
  local bytes = cells.bundle_bytes(tenant, hash)
  return bytes and bundle.files(bytes)
end

--- The same, of a version that is the tenant's own: what it runs of the operator's is not for it to read.
function scripts.own_files(tenant, hash)
  return store.bundle(tenant.db, hash) and scripts.files(tenant, hash)
end

--- One file of a version, for play.
function scripts.file(tenant, hash, path)
  for _, file in ipairs(scripts.files(tenant, hash) or {}) do
    if file.path == path then return file.data end
  end
  return nil
end

-- A version that is about to be asked for is loaded into the cell that runs, so that its first call need not wait for it.
local function warm_up(message)
  local id, hash = message:match("^(%d+) (%x+)$")
  if not id or #hash ~= 64 or not cells.is_open(tonumber(id)) then return end
  local ok, err = pcall(function()
    local tenant = tonumber(id) == operator.tenant.id and operator.tenant or tenants.get(tonumber(id))
    if not tenant then return end
    if scripts.report(tenant, hash) then cells.warm(tenant, hash) end
  end)
  if not ok then log.info("bundle.not_warm", { tenant_id = tonumber(id), hash = hash:sub(1, 12), text = tostring(err) }) end
end

--- Writes what waits in this process: lines of script logs, and what came of calls. For a worker that ends; at most so long.
--- Returns whether nothing is left.
function scripts.settle(ms)
  local ends = clock.mono_ms() + ms
  local counted = use.settle(ms)
  return script_log.settle(math.max(0, ends - clock.mono_ms())) and counted
end

-- A tenant's limits have changed: its next run begins in a cell that has them.
local function renew_cells(slug)
  local tenant = tenants.get(slug)
  if tenant then cells.renew(tenant.id) end
end

--- Listens for versions that are published and limits that change, and declares the jobs of the script log.
function scripts.start()
  task.spawn(scripts.wait_for_shipped)
  script_log.start()
  redis.subscribe(rediskey("cells:renew"), function(slug) task.spawn(renew_cells, slug) end)
  return redis.subscribe(rediskey("bundles"), function(message) task.spawn(warm_up, message) end)
end

return scripts
