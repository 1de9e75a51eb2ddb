-- SPDX-License-Identifier: Apache-2.0
--- One turn: from a request and the targets that may answer it, in their order, to one answer or one failure, by one deadline.
---
---   next target ─ attempt ─┬─ whole: the answer
---        ▲    (hedge: a    ├─ failed before a word was heard: the next target; when all have failed, a wait with full jitter, and again
---        │     second one) ├─ failed after it: the next model goes on from what was said, and no word is said twice
---        └─────────────────┴─ the request's own fault, cancelled, no time: the failure
---
--- Only what the caller was told binds: where nobody listens to events, an answer that broke off is simply asked for again.
--- Tool calls and answers by a schema cannot be gone on with: half of them with one model and half with another are neither's.
local attempt = require "ai.attempt"
local log = require "core.log"
local overlap = require "ai.overlap"
local promise = require "lib.promise"
local request_rules = require "ai.request"
local task = require "core.task"

local turn = {}

local BACKOFF_MS, BACKOFF_MOST_MS = 250, 4000
local LEAST_LEFT_MS = 20  -- with less no attempt is begun
local REFUSED_MOST = 20   -- by limits, in one turn

-- What is to be done about a failure: "stop", or who is not asked again in this turn.
local WHAT = {
  bad_request = "stop", refused = "stop", cancelled = "stop",
  auth = "key", quota = "key", budget = "key", not_found = "model", too_long = "smaller",
}

local Turn = {}
Turn.__index = Turn

local none = nil  -- see attempt.lua

local function left_ms(self) return self.options.deadline - self.world.mono_ms() end

local function context_of(target) return target.flags and target.flags.context_tokens or 0 end

-- Takes out of the turn whom a failure says it is no use to ask.
local function strike_out(self, target, outcome)
  local what = WHAT[outcome.class]
  if outcome.should_retry == false and not what then what = "key" end
  for _, other in ipairs(self.targets) do
    local same_model = other.provider == target.provider and other.model == target.model
    if (what == "key" and other == target) or (what == "model" and same_model)
      or (what == "smaller" and (same_model or context_of(other) <= context_of(target))) then
      self.out[other] = true
    end
  end
end

-- The next target that may be asked now. Only a look: whoever means to ask takes it with choose.
local function pick(self)
  for _, target in ipairs(self.targets) do
    if not self.out[target] and not self.tried[target] and self.world.health:allows(target) then return target end
  end
end

-- The same, taken: target, its breaker's probe | nil. What it returns goes to begin, which gives the probe back when nothing is asked.
local function choose(self)
  local target = pick(self)
  if target then return target, self.world.health:claim(target) end
end

-- -- an attempt, and perhaps a second beside it ------------------------------------------------------------------------------

local function row_of(target, outcome, cost)
  return { provider = target.provider, model = target.model, key_id = target.key_id, region = target.region, class = outcome.class, text = outcome.text,
    status = outcome.status, request_id = outcome.request_id, ms = outcome.ms, first_token_ms = outcome.first_token_ms, usage = outcome.usage, cost = cost,
    cut = outcome.cut }
end

local function ended(self, target, outcome, leave, probe)
  self.world.health:ended(target, outcome, probe or false)
  local ok, cost = pcall(leave, outcome)
  if not ok then
    log.error("ai.not_settled", { provider = target.provider, model = target.model, text = tostring(cost) })
    cost = nil
  end
  self.attempts[#self.attempts + 1] = row_of(target, outcome, cost)
end

-- What the caller hears of an attempt's text: all of it, or what is new. After the turn nobody is told anything any more.
local function voice(self)
  local seam = self.said ~= "" and overlap.new(self.said) or nil
  local function say(event, text)
    if text == "" or self.stopped then return end
    self.heard[#self.heard + 1] = text
    return self.options.emit(text == event.text and event or { type = "text", text = text })
  end
  return function(event)
    if self.stopped then return end
    if event.type == "start" then
      if self.started then return end
      self.started = true
    elseif event.type == "text" then
      return say(event, seam and seam:feed(event.text) or event.text)
    elseif self.options.texts_only then
      return
    end
    return self.options.emit(event)
  end, function()
    if seam then say({}, seam:finish()) end
  end
end

local function cancel_others(race, but, class, text)
  for try in pairs(race.running) do
    if try ~= but then attempt.cancel(try, class, text, true) end
  end
end

-- Where limits and budgets cannot be asked, nothing is spent.
local function admit(self, target)
  -- Who stands in a queue while another is free would only lose time.
  local ok, leave, err = pcall(self.options.enter, target, pick(self) == nil)
  if ok then return leave, err end
  log.error("ai.not_admitted", { provider = target.provider, model = target.model, text = tostring(leave) })
  return nil, { class = "server", text = "limits and budgets cannot be read just now" }
end

local function begin(self, race, target, probe)
  self.tried[target] = true
  race.entering = race.entering + 1
  local leave, err = admit(self, target)
  race.entering = race.entering - 1
  local stopped = race.done:given() or race.voice or self.stopped
  if not leave or stopped then self.world.health:give_back(target, probe) end
  if not leave then
    local outcome = { class = err.class or "rate", text = err.text, code = err.code, retry_after_s = err.retry_after_s, said = "", tool_calls = {}, ms = 0, cut = true }
    self.attempts[#self.attempts + 1] = row_of(target, outcome)
    self.refused = self.refused + 1
    return nil, outcome
  end
  if stopped then
    -- Nothing was sent: it is as if it had never been asked for.
    pcall(leave, { class = "cancelled", cut = true, unsent = true, said = "", tool_calls = {}, ms = 0 })
    return nil, self.stopped or { class = "cancelled", text = "another model was faster", said = "", tool_calls = {}, cut = true }
  end
  local emit, close
  if self.options.emit then emit, close = voice(self) end
  local try = attempt.new(self.world, target, self.request, {
    deadline = self.options.deadline, first_token_ms = self.options.first_token_ms, idle_ms = self.options.idle_ms, fair = self.options.fair, emit = emit,
    on_first = function(ms) self.world.health:first_token(target, ms) end,
    may_speak = function(me)
      if race.voice and race.voice ~= me then return false end
      if not race.voice then
        race.voice = me
        cancel_others(race, me, "cancelled", "another model was faster")
      end
      return true
    end,
  })
  self.asked = self.asked + 1
  race.running[try], race.count = true, race.count + 1
  probe = self.world.health:began(target, probe)
  task.spawn(function()
    local outcome = attempt.go(try)
    if close and outcome.spoke then close() end
    ended(self, target, outcome, leave, probe)
    race.running[try], race.count = nil, race.count - 1
    race.last = { target = target, outcome = outcome }
    -- The one that speaks decides; while none does, the last that is left.
    if outcome.class == nil or race.voice == try or (race.count == 0 and race.entering == 0) then race.done:give(race.last) end
  end)
  return try
end

-- Begins an attempt in a race. Who is refused at the door may have been the last that the race waited for.
local function take_part(self, race, target, probe)
  local try, refused = begin(self, race, target, probe)
  if try then return end
  strike_out(self, target, refused)
  race.last = race.last or { target = target, outcome = refused }
  if race.count == 0 and race.entering == 0 then race.done:give(race.last) end
end

local function hedge_later(self, race, first)
  local ms = self.options.hedge_ms and self.options.hedge_ms(first)
  if not ms or ms >= left_ms(self) then return nil end
  return self.world.after(ms, function()
    if race.voice or race.done:given() or self.stopped or self.asked >= self.options.attempts then return end
    local second, probe = choose(self)
    if not second then return end
    self.hedged = true
    take_part(self, race, second, probe)
  end)
end

-- Asks a target, and another beside it when it is late: { target, outcome } of the one that was heard, or failed last.
local function contest(self, target, probe)
  local race = { running = {}, count = 0, entering = 0, done = promise.new(), voice = none, last = none }
  self.race = race
  -- A task of its own: who is not wanted any more need not wait until a queue has let it in.
  task.spawn(take_part, self, race, target, probe)
  local hedge = not race.done:given() and hedge_later(self, race, target)
  local result = race.done:wait()
  if hedge then hedge:cancel() end
  self.race = nil
  return result
end

-- -- waiting ---------------------------------------------------------------------------------------------------------------

-- How long until somebody can be asked again, or nil when nobody can in time. Full jitter: all who were refused at the same moment are
-- not to come back at the same moment.
local function wait_for(self)
  local soonest
  for _, target in ipairs(self.targets) do
    if not self.out[target] then
      local may, _, ms = self.world.health:allows(target)
      local wait = math.max(may and 0 or ms, (self.asked_after[target] or 0) - self.world.mono_ms())
      if not soonest or wait < soonest.ms then soonest = { target = target, ms = wait } end
    end
  end
  if not soonest then return nil end
  local jitter = self.world.random() * math.min(BACKOFF_MOST_MS, BACKOFF_MS * 2 ^ self.round)
  local ms = soonest.ms + jitter
  if ms > self.options.wait_most_ms or ms + LEAST_LEFT_MS > left_ms(self) or not self.world.health:may_retry(soonest.target) then return nil end
  return ms
end

local function sleep(self, ms)
  local wake = promise.new()
  self.wake = wake
  local timer = self.world.after(ms, function() wake:give() end)
  wake:wait()
  timer:cancel()
  self.wake = nil
end

local function stop(self, class, text)
  if self.stopped then return end
  self.stopped = { class = class, text = text, cut = true, said = "", tool_calls = {} }
  local race = self.race
  if race then
    cancel_others(race, nil, class, text)
    -- A server that does not even answer is not waited for: its attempt ends by itself, and is settled then.
    race.done:give{ target = race.last and race.last.target, outcome = self.stopped }
  end
  if self.wake then self.wake:give() end
end

-- -- the turn --------------------------------------------------------------------------------------------------------------

local function add_usage(sum, usage)
  if not usage then return sum end
  sum = sum or { input = 0, cached = 0, written = 0, written_1h = 0, output = 0, reasoning = 0 }
  for name, value in pairs(sum) do sum[name] = value + (usage[name] or 0) end
  return sum
end

local function result_of(self, target, outcome)
  local heard = self.options.emit and table.concat(self.heard) or outcome.said
  return {
    class = outcome.class, text = outcome.text, code = outcome.code, retry_after_s = outcome.retry_after_s, said = heard, tool_calls = outcome.tool_calls,
    reason = outcome.reason, usage = outcome.class == nil and add_usage(self.usage, outcome.usage) or self.usage, target = target, attempts = self.attempts,
    provider_data = outcome.provider_data, hedged = self.hedged, gone_on = self.gone_on > 0 and self.gone_on or nil,
  }
end

-- A key that was refused has perhaps a brother, who goes next.
local function add_another(self, target, outcome)
  if not self.options.another or (outcome.class ~= "auth" and outcome.class ~= "quota" and outcome.class ~= "rate") then return end
  local another = self.options.another(target)
  if not another then return end
  local place = #self.targets + 1
  for i, other in ipairs(self.targets) do
    if other == another then return end
    if other == target then place = i + 1 end
  end
  table.insert(self.targets, place, another)
end

-- After a failure: true when another may be asked; the request is then for what is missing.
local function go_on(self, target, outcome)
  self.last = { target = target, outcome = outcome }
  if self.stopped or WHAT[outcome.class] == "stop" then return false end
  -- Who is told texts alone has not heard of a tool call that broke off, and nothing was done of it: it is asked for again.
  local by_tool = outcome.tools_begun and not self.options.texts_only
  if outcome.spoke and self.options.emit and (by_tool or #self.heard > 0) then
    if by_tool or self.request.schema or self.gone_on >= self.options.going_on then return false end
    self.gone_on = self.gone_on + 1
    self.said = table.concat(self.heard)
    self.request = request_rules.going_on(self.asked_request, self.said)
    self.usage = add_usage(self.usage, outcome.usage)
  end
  if outcome.retry_after_s then self.asked_after[target] = self.world.mono_ms() + outcome.retry_after_s * 1000 end
  strike_out(self, target, outcome)
  add_another(self, target, outcome)
  return true
end

local function next_target(self)
  local target, probe = choose(self)
  if target then return target, probe end
  local ms = wait_for(self)
  if not ms then return nil end
  sleep(self, ms)
  if self.stopped then return nil end
  self.round, self.tried = self.round + 1, {}
  return choose(self)
end

local function run(self)
  while not self.stopped and self.asked < self.options.attempts and self.refused < REFUSED_MOST and left_ms(self) > LEAST_LEFT_MS do
    local target, probe = next_target(self)
    if not target then break end
    local ended_with = contest(self, target, probe)
    if ended_with.outcome.class == nil then return result_of(self, ended_with.target, ended_with.outcome) end
    if not go_on(self, ended_with.target, ended_with.outcome) then break end
  end
  local why = self.stopped or (self.last and self.last.outcome)
    or { class = "no_provider", text = #self.targets == 0 and "there is no model to ask" or "no model can be asked just now", said = "", tool_calls = {} }
  return result_of(self, self.last and self.last.target, why)
end

--- Takes the turn. Waits; never raises for what a provider does.
--- @param world table    { mono_ms, after, random, stream, health }: as attempt.new and health.new have them
--- @param request table  of ai.request
--- @param targets table  in the order in which they are to be tried
--- @param options table  { deadline = mono ms of all of it, first_token_ms and idle_ms of an attempt, fair = of ai.policy or nil, attempts = how many at most,
---   going_on = how often another model may go on, wait_most_ms = the longest wait for a retry, hedge_ms = function(target) -> ms | nil,
---   emit = function(event) or nil: start once, text (attempt.ENOUGH returned: it is enough), tool_start, tool_delta, tool; texts_only = true: no tool; cancel = a promise or nil,
---   enter = function(target, may_wait) -> leave | nil, { class, text, retry_after_s }; leave(outcome) -> cost | nil is called once for each
---   attempt, another = function(target) -> the same model with another key | nil, or nil }
--- @return table  { class = nil when answered, text, code, retry_after_s, said, tool_calls, reason, usage = of all who were heard, target,
---   attempts = rows { provider, model, key_id, region, class, text, ms, first_token_ms, usage, cost }, hedged, gone_on, provider_data }
function turn.run(world, request, targets, options)
  local list = {}
  for i, target in ipairs(targets) do list[i] = target end
  local self = setmetatable({ world = world, request = request, asked_request = request, targets = list, options = options, attempts = {}, asked = 0, refused = 0,
    out = {}, tried = {}, asked_after = {}, round = 0, said = "", heard = {}, gone_on = 0, race = none, last = none, stopped = none, started = none, wake = none,
    usage = none, hedged = none }, Turn)
  local limit = world.after(math.max(0, left_ms(self)), function() stop(self, "timeout", "no answer before the deadline") end)
  local unwatch = options.cancel and options.cancel:watch(function() stop(self, "cancelled", "the caller no longer wants it") end)
  local ok, result = pcall(run, self)
  limit:cancel()
  if unwatch then unwatch() end
  if ok then return result end
  stop(self, "cancelled", "the turn broke")
  error(result, 0)
end

return turn
