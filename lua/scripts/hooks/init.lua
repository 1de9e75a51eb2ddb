-- SPDX-License-Identifier: Apache-2.0
--- Asking a bundle's hooks (scripts.hooks.rules has the table of them). The answer is checked, or it is nil and the platform does
--- what it does without the hook: there is none, it leaves the decision, fails, takes too long, or no cell can be had in time.
---
--- Never asked inside of a database transaction: it may take its whole time. A hook that fails three times in a row is left alone
--- for ten seconds, then tried once. Why it failed is in the script log of whose bundle it is.
local cells = require "scripts.cells"
local clock = require "core.clock"
local log = require "core.log"
local metrics = require "core.metrics"
local operator = require "scripts.operator"
local promise = require "lib.promise"
local rules = require "scripts.hooks.rules"
local scripts = require "scripts"
local task = require "core.task"
local timer = require "core.timer"

local hooks = {}

local FAILURES, LEFT_ALONE_MS = 3, 10000
local FORGET_MS = 60000

-- Hooks whose last answer was a failure: tenant id .. ":" .. hook -> version -> { count, at_ms, until_ms }. Each version has its own:
-- a canary's failures add up between the answers of the live one.
local troubles = {}

local function count(name, result)
  metrics.count("hook_calls_total", { hook = name, result = result }, 1, "hooks that were asked, by what became of it")
end

-- What fn returns, or "late" when it takes longer; it then goes on, and nobody hears of it.
local function within(ms, fn)
  local answer, ends = promise.new(), clock.mono_ms() + ms
  local limit
  -- A timer counts from where the loop last looked at the clock: after a long turn it is early.
  local function on_limit()
    local left = ends - clock.mono_ms()
    if left > 1 then limit = timer.after(left, on_limit) else answer:give("late") end
  end
  task.spawn(function()
    local ok, a, b = pcall(fn)
    if ok then answer:give("answered", a, b) else answer:give("answered", nil, { code = "failed", text = tostring(a) }) end
  end)
  limit = timer.after(ms, on_limit)
  local what, a, b = answer:wait()
  limit:cancel()
  return what, a, b
end

local function has(report, name)
  for _, found in ipairs(report and report.hooks or {}) do
    if found == name then return true end
  end
  return false
end

--- The version whose hook of that name is asked: hash | nil. The operator's is what ships where the published one has none.
--- @param hash string|nil  a version to which the question is pinned
function hooks.version(tenant, name, hash)
  hash = hash or scripts.live(tenant)
  if hash and has(scripts.report(tenant, hash), name) then return hash end
  local shipped = tenant.id == operator.tenant.id and operator.shipped().hash
  if shipped and hash ~= shipped and has(scripts.report(tenant, shipped), name) then return shipped end
end

--- The version to ask several hooks of, or nil when there is none or nobody can say. Never raises.
function hooks.live(tenant)
  local ok, hash = pcall(scripts.live, tenant)
  return ok and hash or nil
end

--- Is there such a hook, as far as anybody can say? Never raises.
function hooks.offers(tenant, name, hash)
  local ok, found = pcall(hooks.version, tenant, name, hash)
  return ok and found ~= nil
end

local function trouble_of(key, hash) return troubles[key] and troubles[key][hash] end

local function no_trouble(key, hash)
  local versions = troubles[key]
  if not versions then return end
  versions[hash] = nil
  if next(versions) == nil then troubles[key] = nil end
end

-- That of a version which had none. What other versions did long ago goes: nobody may ever ask them again.
local function new_trouble(key, hash, now)
  local versions = troubles[key] or {}
  for other, trouble in pairs(versions) do
    if now - trouble.at_ms > FORGET_MS then versions[other] = nil end
  end
  troubles[key], versions[hash] = versions, { count = 0, until_ms = 0 }
  return versions[hash]
end

local function failed(tenant, hook, hash, failure)
  local now, key = clock.mono_ms(), tenant.id .. ":" .. hook.name
  local trouble = trouble_of(key, hash) or new_trouble(key, hash, now)
  trouble.count, trouble.kind, trouble.at_ms = trouble.count + 1, failure.kind, now
  if trouble.count >= FAILURES then trouble.until_ms = now + LEFT_ALONE_MS end
  count(hook.name, failure.kind)
  log.warn("hook.failed", { tenant = tenant.slug, hook = hook.name, kind = failure.kind, file = failure.file, line = failure.line, times = trouble.count })
  scripts.log(tenant, { level = "error", bundle_hash = hash, file = failure.file or hook.file, line = failure.line,
    text = ("the hook %s: %s%s"):format(hook.name, failure.text,
      trouble.count == FAILURES and (". It is left alone for %d s"):format(LEFT_ALONE_MS / 1000) or "") })
  return failure.kind
end

local function ask(tenant, hook, input, pinned)
  local hash = hooks.version(tenant, hook.name, pinned)
  if not hash then return nil end
  local key = tenant.id .. ":" .. hook.name
  local trouble = trouble_of(key, hash)
  if trouble and trouble.count >= FAILURES then
    local now = clock.mono_ms()
    if now < trouble.until_ms then
      count(hook.name, "left alone")
      return nil, nil, trouble.kind
    end
    trouble.until_ms = now + LEFT_ALONE_MS  -- one tries; the others go on without
  end
  input.now, input.seed = math.floor(clock.wall_us() / 1e6), math.random(1, 2 ^ 31)
  local what, ok, value = within(hook.ms, function() return cells.hook(tenant, hash, hook.file, hook.data and "" or hook.name, input) end)
  local output, failure
  if what == "late" then
    failure = { kind = "late", text = ("no answer within %d ms"):format(hook.ms) }
  elseif ok == nil and value and (value.code == "limit" or value.code == "invalid") then
    -- more than a message can carry: not the script's fault
    count(hook.name, "too large")
    log.warn("hook.input_too_large", { tenant = tenant.slug, hook = hook.name })
    return nil
  else
    output, failure = rules.answered(hook, input, ok, value)
  end
  if failure then
    return nil, nil, failed(tenant, hook, hash, failure)
  end
  no_trouble(key, hash)
  count(hook.name, "ok")
  return output, hash
end

--- Asks a hook. May wait; never raises.
--- @param tenant table  a tenant's record, or operator.tenant
--- @param input table  what the table of hooks says it gets; now and seed are set here
--- @param pinned string|nil  the version that is asked, of a call that is pinned to it; else the live one
--- @return any output as declared, string hash of the version that decided; nil: the platform decides
--- @return string|nil kind  how it failed, or did when it was last asked; nil: it did not
function hooks.call(tenant, name, input, pinned)
  local hook = assert(rules.named(name), name)
  local ok, output, hash, kind = pcall(ask, tenant, hook, input, pinned)
  if ok then return output, hash, kind end
  count(name, "away")
  log.warn("hook.not_asked", { tenant = tenant.slug, hook = name, text = tostring(output) })
  return nil, nil, "away"
end

return hooks
