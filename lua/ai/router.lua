-- SPDX-License-Identifier: Apache-2.0
--- In which order the models are asked: by the tenant's policy, by what each is like just now, and by what its routing.lua says.
--- Decides; asks nobody itself: what health knows, the prices and the hook's word are given.
---
--- A policy: { order = "quality"|"cost"|"latency"|"weighted"|"pinned", pinned = "provider/model", a provider or a model }.
--- Of equals, several keys of one model among them, a random one is first.
local adapters = require "ai.adapters"

local router = {}

router.orders = { "quality", "cost", "latency", "weighted", "pinned" }

local FAILING = 4     -- a model that always fails counts as so many times slower, above its own time
local OUTPUT_TOKENS = 300  -- of an answer of which nobody says how long it may be

local function can_take(target, request, tokens)
  local adapter = adapters.of(target.kind)
  if not adapter then return false end
  local can, flags = adapter.capabilities, target.flags or {}
  if request.tools and (can.tools == false or flags.tools == false) then return false end
  local most = tonumber(flags.context_tokens)
  return not (most and tokens + (request.max_tokens or 0) > most)
end

--- The name by which a model is meant in policies and hooks.
function router.name(target) return ("%s/%s"):format(target.provider, target.model) end

--- Does "provider/model", a provider or a model, or { provider, model }, mean this target?
function router.means(words, target)
  if type(words) == "table" then
    return (words.provider == nil or words.provider == target.provider) and (words.model == nil or words.model == target.model)
  end
  return words == target.model or words == target.provider or words == router.name(target)
end

--- What a policy is pinned to, as text.
function router.spelled(words)
  if type(words) ~= "table" then return words end
  return words.provider and words.model and words.provider .. "/" .. words.model or words.provider or words.model or "?"
end

-- The targets, those with the smallest value first; of equals a random one.
local function by(targets, random, value)
  if #targets < 2 then return targets end
  local rows = {}
  for i, target in ipairs(targets) do rows[i] = { target = target, value = value(target), chance = random() } end
  table.sort(rows, function(a, b)
    if a.value ~= b.value then return a.value < b.value end
    return a.chance < b.chance
  end)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row.target end
  return list
end

local order = {}

function order.quality(targets, now)
  return by(targets, now.random, function(target) return -(target.quality or 50) end)
end

function order.cost(targets, now)
  -- What has no price may cost anything.
  return by(targets, now.random, function(target) return now.cost(target) or math.huge end)
end

-- One that was not heard of lately is asked first, once: how else would it be known?
function order.latency(targets, now)
  return by(targets, now.random, function(target)
    return (now.health:latency_ms(target, 0.5) or 0) * (1 + FAILING * now.health:error_share(target)) + 1000 * FAILING * now.health:error_share(target)
  end)
end

-- First of the order with the chance of its weight, and so on among the rest (Efraimidis and Spirakis).
function order.weighted(targets, now)
  local of_kind = {}
  for _, target in ipairs(targets) do of_kind[router.name(target)] = (of_kind[router.name(target)] or 0) + 1 end
  return by(targets, now.random, function(target)
    local weight = (target.weight or 1) / of_kind[router.name(target)]  -- a model with three keys has one weight
    if weight <= 0 then return math.huge end
    return -math.log(math.max(now.random(), 1e-12)) / weight
  end)
end

order.pinned = order.quality

local function only(targets, words)
  local list = {}
  for _, target in ipairs(targets) do
    if router.means(words, target) then list[#list + 1] = target end
  end
  return list
end

--- What a tenant's hook is told: { purpose, tokens, tools, policy, models = list of { name, provider, model, region, quality, weight, cost_micros,
--- p50_ms, error_share, state } }, each model once.
function router.hook_input(targets, policy, now)
  local models, seen = {}, {}
  for _, target in ipairs(targets) do
    local name = router.name(target)
    if not seen[name] then
      seen[name] = true
      models[#models + 1] = { name = name, provider = target.provider, model = target.model, region = target.region, quality = target.quality or 50,
        weight = target.weight or 1, cost_micros = now.cost(target), p50_ms = now.health:latency_ms(target, 0.5),
        error_share = now.health:error_share(target), state = now.health:figures(target).state }
    end
  end
  return { purpose = now.purpose, tokens = now.tokens, tools = now.request.tools and #now.request.tools or 0, policy = policy.order, models = models }
end

-- The models that a hook named, in its order; of each all keys.
local function as_named(targets, names)
  local list, taken = {}, {}
  for _, name in ipairs(names) do
    for _, target in ipairs(targets) do
      if router.means(name, target) and not taken[target] then
        taken[target] = true
        list[#list + 1] = target
      end
    end
  end
  return list
end

--- The targets in the order in which they are to be tried; those that cannot take the request are left out.
--- @param policy table
--- @param now table  { request, tokens = about how many it has, purpose, health, random, cost = function(target) -> micros | nil,
---   ask = function(input) -> { models, policy } | nil: the tenant's hook, or nil }
--- @return table targets, string|nil why there is none
function router.order(targets, policy, now)
  local able = {}
  for _, target in ipairs(targets) do
    if can_take(target, now.request, now.tokens) then able[#able + 1] = target end
  end
  if #able == 0 then
    return {}, #targets == 0 and "no model is set up: an operator or the tenant adds a provider with its key and models"
      or "no model can take this request: it has tools that none knows, or is too long for all"
  end
  if policy.order == "pinned" and policy.pinned then
    able = only(able, policy.pinned)
    if #able == 0 then return {}, ("the policy is pinned to '%s', which is not there"):format(router.spelled(policy.pinned)) end
    return order.pinned(able, now)
  end
  local chosen = policy.order
  local said = now.ask and now.ask(router.hook_input(able, policy, now))
  if said then
    chosen = said.policy or chosen
    if said.models then
      local named = as_named((order[chosen] or order.quality)(able, now), said.models)
      if #named > 0 then return named end
    end
  end
  return (order[chosen] or order.quality)(able, now)
end

--- About what a request costs at a target, in micros.
--- @param price table|nil  { input, output } in micros for a million tokens
function router.cost(price, tokens, request)
  if not price then return nil end
  return (tokens * price.input + math.min(request.max_tokens or OUTPUT_TOKENS, OUTPUT_TOKENS * 4) * price.output) / 1e6
end

return router
