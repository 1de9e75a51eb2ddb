-- SPDX-License-Identifier: Apache-2.0
--- Asking a model, whoever it is: one request, one answer, by one deadline; written down, counted and paid for.
---
---   request ─ guard ─ cache ─ router ─ turn (attempts at targets, each through admission) ─ guard ─ answer
---                               └─ when nobody answers: a kept answer, the knowledge base, a human
---
---   ai.chat(tenant, request, options) -> answer | nil, err        may wait
---     request   as ai.request has it
---     options   { purpose = "call"|"campaign"|"api", call_id = public id, call_row, campaign_id = row, external_ref, trace = lib.trace's,
---                 policy = name of an order or fields of ai.policy, pinned = "provider/model" or { provider, model }, deadline_ms,
---                 on_event = function(event): start, text, tool_start, tool_delta, tool, usage, end; may wait,
---                 texts_only = true: on_event is told of no tool, and another model may be asked for a call that broke off,
---                 cancel = a promise: when it is given the streams are reset, passages = of kb.search: they go into the prompt, and the answer is
---                 held against them; bundle = hash of the version that the call is pinned to }
---     answer    { text, tool_calls, reason, usage, cost = { micros, currency } of all attempts, provider, model, attempts, cache = "hit"|"miss"|"off",
---                 degraded = nil|"cache"|"local"|"human", provider_data, findings }
---     err       { class, text, retry_after_s, said = what the caller was told before it broke off }
---   ai.embed(tenant, texts, options) -> { vectors, usage, cost, provider, model, attempts } | nil, err
local admission = require "ai.admission"
local cache = require "ai.cache"
local clock = require "core.clock"
local degrade = require "ai.degrade"
local embed = require "ai.embed"
local guard = require "ai.guard"
local attempt = require "ai.attempt"
local hooks = require "scripts.hooks"
local kb = require "kb"
local ledger = require "ai.ledger"
local log = require "core.log"
local measure = require "ai.measure"
local policy_rules = require "ai.policy"
local promise = require "lib.promise"
local providers = require "ai.providers"
local request_rules = require "ai.request"
local router = require "ai.router"
local task = require "core.task"
local turn = require "ai.turn"
local world = require "ai.world"

local ai = {}

world.sleep = task.sleep

local function of_purpose(targets, purpose)
  local list = {}
  for _, target in ipairs(targets) do
    if (target.purpose or "chat") == purpose then list[#list + 1] = target end
  end
  return list
end

local function found_of(tenant)
  local ok, found = pcall(providers.of, tenant)
  if ok then return found end
  log.warn("ai.providers_away", { tenant = tenant.slug, text = tostring(found) })
  return nil, { class = "no_provider", text = "which models may be asked cannot be read just now", retry_after_s = 2 }
end

-- The tenant's routing.lua, when it has a word on models.
local function asker(tenant)
  local version = hooks.live(tenant)
  if not version or not hooks.offers(tenant, "models", version) then return nil end
  return function(input) return (hooks.call(tenant, "models", input, version)) end
end

local function cost_of(attempts)
  local sum
  for _, row in ipairs(attempts) do
    local cost = row.cost
    if cost then
      sum = sum or { micros = 0, currency = cost.currency }
      -- Prices of two currencies are not added up: the ledger has each.
      if cost.currency == sum.currency or not sum.currency then
        sum.micros, sum.currency = sum.micros + (cost.micros or 0), sum.currency or cost.currency
      end
      row.cost = { micros = cost.micros, currency = cost.currency }
    end
  end
  return sum
end

local function order_of(job)
  local tokens = request_rules.tokens(job.request)
  return router.order(of_purpose(job.found.targets, "chat"), job.policy, {
    request = job.request, tokens = tokens, purpose = job.purpose, health = world.health, random = world.random,
    cost = function(target) return router.cost(job.found.price(target), tokens, job.request) end,
    ask = job.policy.order ~= "pinned" and asker(job.tenant) or nil,
  })
end

-- Events on their way to who listens, through the guard: emit, finish() -> the text that was said.
local function guarded(job)
  local say, notes = job.options.on_event, job.notes
  local stream, said = guard.stream(job.tenant, notes, job.guard), {}
  local function speak(text)
    if text == "" then return end
    said[#said + 1] = text
    say{ type = "text", text = text }
  end
  local function emit(event)
    if event.type == "text" then
      speak(stream:feed(event.text))
      return stream.full and attempt.ENOUGH or nil
    end
    if not notes.personal then return say(event) end
    -- What stands for a personal value may lie across two pieces, so arguments come whole.
    if event.type == "tool_delta" then return end
    if event.type == "tool" then
      local whole = {}
      for name, value in pairs(event) do whole[name] = value end
      whole.arguments = guard.reveal(notes, event.arguments, true)
      event = whole
    end
    say(event)
  end
  return emit, function()
    speak(stream:finish())
    return table.concat(said), stream.findings
  end
end

local function revealed(job, calls)
  for _, call in ipairs(calls) do call.arguments = guard.reveal(job.notes, call.arguments, true) end
  return calls
end

-- Nobody can be asked: because nothing is set up, or because all keys rest just now.
local function nobody(job, why)
  if #of_purpose(job.found.targets, "chat") == 0 and #of_purpose(providers.models(job.tenant), "chat") > 0 then
    return { class = "rate", text = "all keys of all models rest just now, because their providers refused them", retry_after_s = 5 }
  end
  return { class = "no_provider", text = why }
end

local function take_turn(job)
  local order, why = order_of(job)
  if #order == 0 then return nil, nobody(job, why) end
  local emit, finish
  if job.options.on_event then emit, finish = guarded(job) end
  local result = turn.run(world, job.request, order, {
    deadline = job.deadline, first_token_ms = job.policy.first_token_ms, idle_ms = job.policy.idle_ms, fair = job.policy.fair,
    attempts = job.policy.attempts, going_on = job.policy.going_on, wait_most_ms = job.policy.wait_most_ms, emit = emit, texts_only = job.options.texts_only, cancel = job.cancel,
    hedge_ms = function(target) return policy_rules.hedge_ms(job.policy, world.health, target) end,
    enter = admission.enter(job), another = function(target) return providers.another(job.tenant, target) end,
  })
  measure.turn(result)
  local cost = cost_of(result.attempts)
  job.target, job.cost = result.target, cost
  local text, findings
  if finish then text, findings = finish() end
  if result.class then
    job.said = text ~= "" and text or nil
    return nil, { class = result.class, text = result.text, code = result.code, retry_after_s = result.retry_after_s, said = job.said,
      attempts = result.attempts, cost = cost }
  end
  if not finish then text, findings = guard.after(job.tenant, job.request, result.said, job.options.passages, job.notes, job.guard) end
  return {
    text = text, tool_calls = revealed(job, result.tool_calls), reason = result.reason, usage = result.usage, cost = cost, provider = result.target.provider,
    model = result.target.model, attempts = result.attempts, provider_data = result.provider_data, findings = findings,
  }
end

-- What a caller who listens has not heard yet: an answer that no model of this turn spoke. Of what broke off he has heard all there is.
local function tell(job, answer, heard)
  local say = job.options.on_event
  if not say then return end
  if answer.cache == "hit" or (answer.degraded and not heard) then return cache.replay(answer, say) end
  local usage = { type = "usage" }
  for name, value in pairs(answer.usage or {}) do usage[name] = value end
  say(usage)
  say{ type = "end", reason = answer.reason }
end

local function write_down(job, answer, err)
  local ms = clock.mono_ms() - job.began
  local result = err and err.class or answer.degraded or (answer.cache == "hit" and "cached") or "ok"
  measure.answer(job.tenant, job.purpose, result, job.target, ms)
  ledger.answer(job.tenant, {
    answer_key = job.answer_key, purpose = job.purpose, provider = answer and answer.provider, model = answer and answer.model,
    reason = answer and answer.reason or err.class, attempts = job.count, cache = answer and answer.cache or "off", degraded = answer and answer.degraded,
    cost = job.cost, ms = ms, call = job.options.call_id, external_ref = job.options.external_ref, trace = job.options.trace and job.options.trace.id,
  })
end

-- A promise that is given when the caller cancels, and in any case at the end, so that nothing waits for it for ever.
local function cancel_of(options)
  local mine = promise.new()
  local unwatch = options.cancel and options.cancel:watch(function(...) mine:give(...) end)
  return mine, function()
    if unwatch then unwatch() end
    mine:give()
  end
end

local function answer_of(job)
  local options = job.cache
  local answer, err = cache.through(job.tenant, job.request, options, function() return take_turn(job) end)
  if answer then return answer end
  if err.said ~= job.said then
    -- Another's failure, of the same question: what he heard of it was not heard here.
    local theirs = err
    err = {}
    for name, value in pairs(theirs) do err[name] = value end
    err.said = job.said
  end
  if err.class == "cancelled" then return nil, err end
  answer = degrade.answer(job, err)
  if answer then answer.attempts, answer.cost = err.attempts or {}, err.cost or answer.cost end
  return answer, err
end

local function cache_options(job)
  local policy = job.policy
  local options = {
    policy = { cache = policy.cache }, purpose = job.purpose, personal = job.notes.personal, question = job.notes.question, wait_ms = policy.deadline_ms, cancel = job.cancel,
    model = policy.order == "pinned" and router.spelled(policy.pinned) or nil,
    embed = function(text)
      local own = job.options
      local found = ai.embed(job.tenant, { text }, { purpose = job.purpose, deadline_ms = 1000, call_id = own.call_id, call_row = own.call_row,
        campaign_id = own.campaign_id, external_ref = own.external_ref, trace = own.trace, cancel = job.cancel })
      return found and found.vectors[1]
    end,
  }
  local settings = cache.settings(options)
  if settings.exact or settings.threshold then
    local ok, version = pcall(kb.version, job.tenant, job.options.bundle)
    options.kb_version = ok and version or nil
  end
  return options
end

--- See above.
function ai.chat(tenant, given, options)
  options = options or {}
  local asked, err = request_rules.check(given)
  if not asked then return nil, err end
  local found
  found, err = found_of(tenant)
  if not found then return nil, err end
  local policy = policy_rules.of(found.policy, options)
  local job = { tenant = tenant, given = asked, options = options, purpose = policy.purpose, policy = policy, found = found, began = clock.mono_ms(),
    answer_key = ledger.key(), count = 0 }
  job.deadline = job.began + policy.deadline_ms
  job.guard = { purpose = policy.purpose, policy = { guard = policy.guard }, passages = options.passages, call_id = options.call_id, external_ref = options.external_ref }
  job.request, job.notes = guard.before(tenant, asked, job.guard)
  local over
  job.cancel, over = cancel_of(options)
  local ok, answer
  ok, answer, err = pcall(function()
    job.cache = cache_options(job)
    return answer_of(job)
  end)
  over()
  if not ok then error(answer, 0) end
  write_down(job, answer, not answer and err or nil)
  if not answer then return nil, err end
  tell(job, answer, err and err.said)
  return answer
end

--- See above. options: those of ai.chat that are not of a text, and dimensions.
function ai.embed(tenant, texts, options)
  options = options or {}
  local found, err = found_of(tenant)
  if not found then return nil, err end
  local policy = policy_rules.of(found.policy, options)
  local purpose = policy.purpose
  local job = { tenant = tenant, request = { texts = texts, messages = {} }, options = options, purpose = purpose, policy = policy, found = found, answer_key = ledger.key(),
    count = 0, deadline = clock.mono_ms() + policy.deadline_ms }
  local order, why = router.order(of_purpose(found.targets, "embeddings"), policy, {
    request = job.request, tokens = 0, purpose = purpose, health = world.health, random = world.random,
    cost = function(target) return router.cost(found.price(target), 1000, { max_tokens = 0 }) end,
  })
  if #order == 0 then return nil, { class = "no_provider", text = why } end
  local enter, attempts = admission.enter(job), {}
  local answer
  answer, err = embed.run(world, order, texts, { deadline = job.deadline, idle_ms = policy.idle_ms, fair = policy.fair, dimensions = options.dimensions,
    attempts = attempts, cancel = options.cancel, enter = function(target, may_wait, batch)
      job.request = { texts = batch, messages = {} }
      return enter(target, may_wait)
    end })
  if not answer then return nil, { class = err.class, text = err.text, code = err.code, retry_after_s = err.retry_after_s, attempts = attempts } end
  answer.attempts, answer.cost = attempts, cost_of(attempts)
  return answer
end

return ai
