-- SPDX-License-Identifier: Apache-2.0
--- What is counted of attempts and answers. Names of tenants and providers become labels only up to a number, the others share one:
--- the page of metrics is of a fixed size, and whoever may name a provider must not be able to fill it.
local metrics = require "core.metrics"
local trace = require "lib.trace"

local measure = {}

local none = nil  -- what trace.ended adds has its place in the table from the start

local TENANTS_MOST, PROVIDERS_MOST, MODELS_MOST = 50, 20, 60

local function names(most, other)
  local known, count = {}, 0
  return function(name)
    if known[name] then return name end
    if count >= most then return other end
    known[name], count = true, count + 1
    return name
  end
end

local tenant_label, provider_name, model_label = names(TENANTS_MOST, "other"), names(PROVIDERS_MOST, "other"), names(MODELS_MOST, "other")

-- The operator's providers by name; what tenants bring is theirs to name.
local function provider_label(target)
  if not target then return "none" end
  return (target.owner or 0) == 0 and provider_name(target.provider) or "own"
end

--- The labels of a target's provider and of a tenant, for who counts more of them.
function measure.provider(target) return provider_label(target) end
function measure.tenant(tenant) return tenant_label(tenant.slug) end

local handles = {}  -- provider, tenant -> handles of their series

local function handles_of(provider, tenant)
  local key = provider .. "\n" .. tenant
  local found = handles[key]
  if found then return found end
  local function labels(more)
    local all = { provider = provider, tenant = tenant }
    for name, value in pairs(more or {}) do all[name] = value end
    return all
  end
  found = {
    latency = metrics.histogram("ai_response_latency", labels(), "seconds from asking for an answer to its end, all attempts included"),
    first = metrics.histogram("ai_first_token_latency", labels(), "seconds from an attempt's beginning to its first word"),
    input = metrics.counter("ai_tokens_total", labels{ kind = "input" }, "tokens, as the provider counts them"),
    output = metrics.counter("ai_tokens_total", labels{ kind = "output" }, "tokens, as the provider counts them"),
    cached = metrics.counter("ai_tokens_total", labels{ kind = "cached" }, "tokens, as the provider counts them"),
    ok = metrics.counter("ai_attempts_total", labels{ result = "ok" }, "requests to providers"),
    failed = metrics.counter("ai_attempts_total", labels{ result = "failed" }, "requests to providers"),
    cut = metrics.counter("ai_attempts_total", labels{ result = "cut" }, "requests to providers"),
    cost = {},
  }
  handles[key] = found
  return found
end

--- Begins the span of an attempt.
function measure.began(parent) return trace.span(parent, "ai.attempt") end

--- An attempt has ended.
--- @param outcome table  of ai.attempt
--- @param cost table|nil  { micros, currency }
function measure.attempt(tenant, target, outcome, cost, span)
  local provider, whose = provider_label(target), tenant_label(tenant.slug)
  local to = handles_of(provider, whose)
  if outcome.class == nil then to.ok(1) elseif outcome.cut then to.cut(1) else to.failed(1) end
  if outcome.class then
    metrics.count("ai_failures_total", { provider = provider, class = outcome.class }, 1, "requests to providers that failed, by what went wrong")
  end
  if outcome.first_token_ms then to.first(outcome.first_token_ms / 1000) end
  local usage = outcome.usage
  if usage then
    to.input(usage.input or 0)
    to.output(usage.output or 0)
    if (usage.cached or 0) > 0 then to.cached(usage.cached) end
  end
  if cost and (cost.micros or 0) > 0 then
    local currency = cost.currency or "USD"
    to.cost[currency] = to.cost[currency] or metrics.counter("ai_cost_micros_total", { provider = provider, tenant = whose, currency = currency },
      "what was spent, in millionths of the currency")
    to.cost[currency](cost.micros)
  end
  trace.ended(span, { tenant = tenant.slug, provider = target.provider, model = target.model, key = target.key_id, region = target.region, class = outcome.class,
    cut = outcome.cut, request_id = outcome.request_id, ms = outcome.ms, first_token_ms = outcome.first_token_ms, input = usage and usage.input,
    output = usage and usage.output, trace = none, span = none, parent = none, name = none })
end

local answered = {}  -- tenant, purpose, result -> the counter of their answers

local function answers_of(whose, purpose, result)
  local key = whose .. "\n" .. purpose .. "\n" .. result
  local count = answered[key]
  if not count then
    count = metrics.counter("ai_answers_total", { tenant = whose, purpose = purpose, result = result }, "answers that were asked for, by what came of it")
    answered[key] = count
  end
  return count
end

--- An answer was given, or none.
--- @param result string  "ok", the class of the failure, or how it was degraded
--- @param target table|nil  who gave it
function measure.answer(tenant, purpose, result, target, ms)
  local whose = tenant_label(tenant.slug)
  answers_of(whose, purpose, result)(1)
  handles_of(provider_label(target), whose).latency(ms / 1000)
end

--- More of what a turn did.
function measure.turn(result)
  if result.hedged then metrics.count("ai_hedged_total", nil, 1, "answers for which a second model was asked beside the first") end
  if result.gone_on then metrics.count("ai_gone_on_total", nil, 1, "answers that another model went on with after they had broken off") end
end

--- A breaker has turned. The sum over the workers is in how many of them it is open.
function measure.breaker(target, state)
  local labels = { provider = provider_label(target), model = (target.owner or 0) == 0 and model_label(target.model) or "own" }
  if labels.provider ~= "own" then metrics.gauge("ai_breaker_open", labels, state == "open" and 1 or 0, "workers in which the breaker of a model is open") end
  if state == "open" then metrics.count("ai_breaker_opened_total", labels, 1, "how often the breaker of a model has opened") end
end

return measure
