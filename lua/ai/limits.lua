-- SPDX-License-Identifier: Apache-2.0
--- How often and how many at a time: buckets of requests and tokens (ai.bucket) and requests at a time (ai.permits), for the tenant,
--- for the provider and for the key. A request that finds one of them used up waits in its queue until its deadline: live calls
--- before campaigns before the API, each in the order they came. A queue is a worker's own; across workers what a bucket keeps back
--- for the higher priorities does the same in the large.
---
---   limits.take(tenant, target, tokens, priority, deadline_ms [, tenant_limits]) -> release | nil, err
---     tokens       what the request may use at most: input and output
---     priority     "call", "campaign" or "api"
---     deadline_ms  clock.mono_ms() until which it may wait; now or before: it does not wait
---     tenant_limits  providers.of(tenant).budget, where the caller has it at hand
---     release(tokens_used | nil)  gives it back, once; further calls do nothing. What was used is set against what was taken; with
---                  nil, nothing is known and what was taken counts
---     err          { class = "rate", text, retry_after_s }
--- May wait; costs no round trip where the limits are high or there are none.
local bucket = require "ai.bucket"
local clock = require "core.clock"
local metrics = require "core.metrics"
local permits = require "ai.permits"
local providers = require "ai.providers"
local task = require "core.task"
local timer = require "core.timer"

local limits = {}

local RANK = { call = 1, campaign = 2, api = 3 }
local WAITING_MOST = 2000  -- in a queue: who comes then would not be served in time
local GATES_MOST = 10000
local LEAST_MS = 5

local gates, gate_count = {}, 0  -- id -> { bucket, permits, queue = list of waiters, the next first }

local function is_idle(gate) return #gate.queue == 0 and gate.permits.used == 0 end

local function gate_of(id)
  local gate = gates[id]
  if gate then return gate end
  if gate_count >= GATES_MOST then
    for key, one in pairs(gates) do
      if is_idle(one) then gates[key], gate_count = nil, gate_count - 1 end
    end
  end
  gate = { id = id, bucket = bucket.new(id), permits = permits.new(id), queue = {} }
  gates[id], gate_count = gate, gate_count + 1
  return gate
end

local function has_limits(of) return of and (of.requests_per_minute or of.tokens_per_minute or of.concurrent) ~= nil end

-- What a request must pass: list of { gate, limits }, the narrowest first.
local function way_of(tenant, target, tenant_limits)
  local way = {}
  local own = target.limits or {}
  if has_limits(own.key) then way[#way + 1] = { gate = gate_of("k" .. own.key.id), limits = own.key } end
  if has_limits(own.provider) then way[#way + 1] = { gate = gate_of("p" .. own.provider.id), limits = own.provider } end
  if has_limits(tenant_limits) then way[#way + 1] = { gate = gate_of("t" .. tenant.id), limits = tenant_limits } end
  return way
end

local function wake(gate)
  local first = gate.queue[1]
  if first and first.resume then first.resume() end
end

-- Gives back the first `count` of a way.
local function give(way, count, tokens, requests)
  for i = 1, count do
    local step = way[i]
    if step.permit then
      step.gate.permits:give()
      step.permit = nil
    end
    if tokens ~= 0 or requests then step.gate.bucket:give(tokens, requests) end
  end
end

-- Takes all, or nothing: true | false, the gate that stood in the way, ms until it may be tried again.
local function try(way, tokens, priority)
  for i, step in ipairs(way) do
    local gate = step.gate
    local ok, wait_ms = gate.permits:take(step.limits.concurrent, priority)
    if ok then
      step.permit = true
      ok, wait_ms = gate.bucket:take(step.limits, tokens, priority)
    end
    if not ok then
      give(way, i - 1, tokens, 1)
      if step.permit then
        gate.permits:give()
        step.permit = nil
      end
      return false, gate, math.max(LEAST_MS, wait_ms)
    end
  end
  return true
end

local function join(gate, waiter)
  local queue, at = gate.queue, #gate.queue + 1
  while at > 1 and (queue[at - 1].rank > waiter.rank or (queue[at - 1].rank == waiter.rank and queue[at - 1].since > waiter.since)) do at = at - 1 end
  table.insert(queue, at, waiter)
end

local function leave(gate, waiter)
  for i, other in ipairs(gate.queue) do
    if other == waiter then
      table.remove(gate.queue, i)
      break
    end
  end
  wake(gate)
end

-- Is there anybody who goes first? Then this one waits behind him and takes nothing.
local function gate_before(way, rank)
  for _, step in ipairs(way) do
    local first = step.gate.queue[1]
    if first and first.rank <= rank then return step.gate end
  end
end

local function pause(waiter, ms)
  task.wait(function(resume)
    waiter.resume = resume
    waiter.timer = timer.after(ms, resume)
  end)
  waiter.resume = nil
  waiter.timer:cancel()
end

local counter = 0

local function wait_for(way, gate, tokens, priority, deadline_ms, wait_ms)
  counter = counter + 1
  local waiter = { rank = RANK[priority], since = counter }
  if #gate.queue >= WAITING_MOST then return false, wait_ms end
  join(gate, waiter)
  while true do
    local now = clock.mono_ms()
    if now >= deadline_ms then break end
    local is_first = gate.queue[1] == waiter
    pause(waiter, math.min(is_first and wait_ms or math.huge, math.max(1, deadline_ms - now), 60000))
    if gate.queue[1] == waiter then
      local ok, at
      ok, at, wait_ms = try(way, tokens, priority)
      if ok then
        leave(gate, waiter)
        return true
      end
      if at ~= gate then
        leave(gate, waiter)
        gate = at
        join(gate, waiter)
      end
    end
  end
  leave(gate, waiter)
  return false, wait_ms
end

local function refused(target, gate, wait_ms)
  metrics.count("ai_limited_total", { provider = target.provider }, 1, "requests that found a limit of their provider, key or tenant used up until their deadline")
  local what = ({ k = "the key", p = "the provider", t = "the tenant" })[gate.id:sub(1, 1)]
  return nil, { class = "rate", text = ("the limit of %s is used up"):format(what), retry_after_s = math.max(1, math.ceil(wait_ms / 1000)) }
end

local function nothing() end

local function releaser(way, tokens)
  local done = false
  return function(used)
    if done then return end
    done = true
    give(way, #way, used and tokens - used or 0)  -- the request itself is not given back: it was made
    for _, step in ipairs(way) do wake(step.gate) end
  end
end

--- See above.
function limits.take(tenant, target, tokens, priority, deadline_ms, tenant_limits)
  local rank = assert(RANK[priority], "a priority is call, campaign or api")
  local way = way_of(tenant, target, tenant_limits or providers.budget(tenant))
  if #way == 0 then return nothing end
  local ok, wait_ms = false, LEAST_MS
  local gate = gate_before(way, rank)
  if not gate then ok, gate, wait_ms = try(way, tokens, priority) end
  if not ok and deadline_ms > clock.mono_ms() then
    local began = clock.mono_ms()
    local got, last_ms = wait_for(way, gate, tokens, priority, deadline_ms, wait_ms)
    ok, wait_ms = got, last_ms or wait_ms
    metrics.observe("ai_limit_wait_seconds", { priority = priority }, (clock.mono_ms() - began) / 1000, "time that requests waited for a limit")
  end
  if not ok then return refused(target, gate, wait_ms) end
  return releaser(way, tokens)
end

--- How many wait and run at a gate of this worker, by its id ("p3", "k5", "t12"): for figures and specs.
function limits.figures()
  local found = {}
  for id, gate in pairs(gates) do found[id] = { waiting = #gate.queue, running = gate.permits.used } end
  return found
end

return limits
