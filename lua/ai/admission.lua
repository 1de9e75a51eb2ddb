-- SPDX-License-Identifier: Apache-2.0
--- The door before each attempt and after it: limits and budget are asked first, and whatever comes of it is settled, written down and
--- counted, once.
local budget = require "ai.budget"
local clock = require "core.clock"
local estimate = require "ai.estimate"
local ledger = require "ai.ledger"
local limits = require "ai.limits"
local log = require "core.log"
local measure = require "ai.measure"
local metrics = require "core.metrics"
local plausible = require "ai.ledger.plausible"
local providers = require "ai.providers"

local admission = {}

local function output_of(request, outcome)
  if request.texts then return 0 end
  local bytes = 0
  for _, call in ipairs(outcome.tool_calls or {}) do bytes = bytes + #call.name + #(call.arguments or "") end
  return math.ceil((#(outcome.said or "") + math.max(bytes, outcome.tool_bytes or 0)) / 4)
end

-- A model that was left alone before its first word has read the question all the same; one that refused it, or could not be reached, bills nothing.
local function is_billed(outcome)
  if outcome.class == nil or outcome.spoke then return true end
  return outcome.sent and not outcome.status and (outcome.cut or outcome.class == "timeout" or outcome.class == "cancelled")
end

-- What it said, if that can be.
local function told_of(request, target, outcome)
  local told = outcome.usage
  if not told or plausible(told, request, target) then return told end
  log.warn("ai.usage_not_plausible", { provider = target.provider, model = target.model, input = told.input, output = told.output })
  metrics.count("ai_usage_not_plausible_total", { provider = target.provider }, 1, "answers said to have used more tokens than they can have: an estimate was booked")
  return nil
end

-- What a provider will bill: usage, guessed. Where it did not say, as much as we think it was. What it said before the end is what it had counted
-- by then, often one token, though all that was heard is billed.
local function usage_of(request, target, outcome)
  local told = told_of(request, target, outcome)
  if not told then
    if outcome.unsent or not is_billed(outcome) then return nil, false end
    local _, likely = estimate.input(request)
    return { input = likely, cached = 0, written = 0, written_1h = 0, output = output_of(request, outcome), reasoning = 0 }, true
  end
  if not outcome.partial then return told, false end
  local usage = {}
  for name, value in pairs(told) do usage[name] = value end
  usage.output = math.max(told.output or 0, output_of(request, outcome))
  return usage, true
end

local function write_down(turn, target, outcome, usage, guessed, cost)
  local options = turn.options
  turn.count = turn.count + 1
  ledger.attempt(turn.tenant, {
    provider = target.provider, model = target.model, key_id = target.key_id, answer_key = turn.answer_key, attempt = turn.count, purpose = turn.purpose,
    cost = cost, usage = usage, estimated = guessed, ms = outcome.ms, first_token_ms = outcome.first_token_ms, class = outcome.class, text = outcome.text,
    call_id = options.call_row, call = options.call_id, external_ref = options.external_ref, campaign_id = options.campaign_id,
    trace = options.trace and options.trace.id,
  })
end

-- Until when a request may stand in a queue: what comes then must have its time, too.
local function until_ms(turn)
  local now = clock.mono_ms()
  return now + math.max(0, math.min(turn.policy.wait_most_ms, turn.deadline - turn.policy.first_token_ms - now))
end

--- The `enter` of a turn (ai.turn).
--- @param turn table  { tenant, found = providers.of(tenant), request = what is asked, purpose, policy = of ai.policy, deadline = mono ms, answer_key, options = those of
---   ai.chat, count = 0 }; count grows with each attempt
function admission.enter(turn)
  return function(target, may_wait)
    local request, tenant = turn.request, turn.tenant
    local reservation, err = budget.reserve(tenant, target, request, { purpose = turn.purpose }, turn.found)
    if not reservation then return nil, err end
    local release
    release, err = limits.take(tenant, target, estimate.tokens(request, target), turn.purpose, may_wait and until_ms(turn) or clock.mono_ms(), turn.found.budget)
    if not release then
      reservation:settle(nil)
      return nil, err
    end
    local span = measure.began(turn.options.trace)
    return function(outcome)
      local usage, guessed = usage_of(request, target, outcome)
      release(usage and usage.input + usage.output or outcome.unsent and 0 or nil)
      local cost = reservation:settle(usage)
      if outcome.unsent then return nil end
      if outcome.class then providers.rest(target, outcome.class, outcome.retry_after_s, outcome.key_refused) end
      write_down(turn, target, outcome, usage, guessed, cost)
      outcome.usage = usage
      measure.attempt(tenant, target, outcome, cost, span)
      return cost
    end
  end
end

return admission
