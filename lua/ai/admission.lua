-- SPDX-License-Identifier: Apache-2.0
--- The door before each attempt and after it: limits and budget are asked first, and whatever comes of it is settled, written down and
--- counted, once.
local budget = require "ai.budget"
local clock = require "core.clock"
local estimate = require "ai.estimate"
local ledger = require "ai.ledger"
local limits = require "ai.limits"
local measure = require "ai.measure"
local providers = require "ai.providers"

local admission = {}

-- What a provider will bill for an answer of which it did not say the usage: as much as we think it was.
local function estimated(request, outcome)
  if not outcome.spoke and outcome.class ~= nil then return nil end
  local _, likely = estimate.input(request)
  local bytes = #(outcome.said or "")
  for _, call in ipairs(outcome.tool_calls or {}) do bytes = bytes + #call.name + #(call.arguments or "") end
  return { input = likely, cached = 0, written = 0, written_1h = 0, output = request.texts and 0 or math.ceil(bytes / 4), reasoning = 0 }
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
      local usage, guessed = outcome.usage, false
      if not usage and not outcome.unsent then
        usage = estimated(request, outcome)
        guessed = usage ~= nil
      end
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
