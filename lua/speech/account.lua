-- SPDX-License-Identifier: Apache-2.0
--- Whose money a use of speech is: budget and limits are asked before it, and what came of it is settled, written into the ledger and counted, once.
---
---   local own = account.new(tenant, scope, found)
---     scope   { purpose = "call" | "campaign" | "api", call_row, call_id = public id, campaign_id, external_ref, trace }, all optional
---     found   providers.of(tenant)
---   local use, failure = own:begin(target, most, goes_on)   most = the units that it can come to; may wait; nil: it is not to be asked
---   use:pass(other)                                what it holds of the limits is from now on held by other, of the same target, begun with goes_on: it goes on
---                                                  with the same request, which no limit is asked for again
---   use:done(units | nil, failure | nil)           once; nil units: nothing was used that is billed; never waits
---   use:drop()                                     instead: it was not made
---
--- Units: { characters } spoken, { seconds } of sound heard or spoken, or of a realtime model the tokens { input, cached, output } of text and
--- { audio_input, audio_cached, audio_output } of sound. The ledger's row has tokens; characters and seconds stand beside the version of the price
--- they were counted by. The programs of this machine cost nothing and need no row: they are counted in the figures.
local budget = require "ai.budget"
local clock = require "core.clock"
local ledger = require "ai.ledger"
local limits = require "ai.limits"
local measure = require "ai.measure"
local metrics = require "core.metrics"
local providers = require "ai.providers"

local account = {}
account.__index = account

local Use = {}
Use.__index = Use

-- A recogniser listens as long as a call lasts: it must not take the tenant's own limit of requests at a time from the language models.
local NO_LIMITS = {}

local function nothing() end

local function ours(err)
  return { class = err.class, text = err.text, code = err.code, ours = true }
end

function account:begin(target, most, goes_on)
  local use = setmetatable({ owner = self, target = target, began_ms = clock.mono_ms() }, Use)
  if target.program then return use end
  local reservation, err = budget.reserve(self.tenant, target, { most = most }, self.scope, self.found)
  if not reservation then return nil, ours(err) end
  if goes_on then
    use.release = nothing
  else
    use.release, err = limits.take(self.tenant, target, 0, self.scope.purpose, clock.mono_ms(), NO_LIMITS)
    if not use.release then
      reservation:settle(nil)
      return nil, ours(err)
    end
  end
  use.reservation, use.span = reservation, measure.began(self.scope.trace)
  return use
end

--- See above.
function Use:pass(other) other.release, self.release = self.release, nothing end

local function tokens_of(units)
  local input, output = (units.input or 0) + (units.audio_input or 0), (units.output or 0) + (units.audio_output or 0)
  if input + output == 0 then return nil end
  return { input = input, output = output, cached = (units.cached or 0) + (units.audio_cached or 0), written = 0, written_1h = 0, reasoning = 0 }
end

--- It was not made after all: what was held for it goes back, and no row tells of it.
function Use:drop()
  assert(not self.over, "a use is over once")
  self.over = true
  if not self.reservation then return end
  self.release(0)
  self.reservation:settle(nil)
end

-- "9f86d081884c, 412 characters": the ledger keeps it with the cost.
local function version_of(version, units)
  local words = { version }
  if units.characters then words[#words + 1] = ("%d characters"):format(units.characters) end
  if units.seconds then words[#words + 1] = ("%.3f s"):format(units.seconds) end
  return table.concat(words, ", ")
end

local function count(self, units)
  local labels = { provider = self.target.program and "local" or measure.provider(self.target), tenant = measure.tenant(self.owner.tenant) }
  for _, unit in ipairs{ "characters", "seconds" } do
    if units[unit] then
      labels.purpose = self.target.purpose
      metrics.count("speech_" .. unit .. "_total", labels, units[unit], unit .. " that speech providers were given to speak or listened to")
    end
  end
end

local function write_down(self, units, failure, cost, ms)
  local own = self.owner
  own.count = own.count + 1
  local scope, booked = own.scope, cost
  if units and cost.version then
    booked = { micros = cost.micros, currency = cost.currency, share = cost.share, version = version_of(cost.version, units) }
  end
  ledger.attempt(own.tenant, {
    provider = self.target.provider, model = self.target.model, key_id = self.target.key_id, answer_key = own.key, attempt = own.count, purpose = scope.purpose,
    cost = booked, usage = units and tokens_of(units), estimated = false, ms = ms, first_token_ms = self.first_ms, class = failure and failure.class,
    text = failure and failure.text, call_id = scope.call_row, call = scope.call_id, external_ref = scope.external_ref, campaign_id = scope.campaign_id,
    trace = scope.trace and scope.trace.id,
  })
end

--- See above. A failure whose class is a key's lets the key rest, as with language models.
function Use:done(units, failure)
  assert(not self.over, "a use is over once")
  self.over = true
  local target, ms = self.target, clock.mono_ms() - self.began_ms
  if units then count(self, units) end
  local cost
  if self.reservation then
    self.release(nil)
    cost = self.reservation:settle(units)
    if failure and not failure.cut and not failure.ours then providers.rest(target, failure.class, failure.retry_after_s, failure.key_refused) end
    write_down(self, units, failure, cost, ms)
  end
  if target.program then return end
  measure.attempt(self.owner.tenant, target, { class = failure and failure.class, cut = failure and failure.cut, ms = ms, usage = units and tokens_of(units) }, cost, self.span)
end

--- See above.
function account.new(tenant, scope, found)
  local own = { purpose = "call" }
  for name, value in pairs(scope or {}) do own[name] = value end
  return setmetatable({ tenant = tenant, scope = own, found = found, key = ledger.key(), count = 0 }, account)
end

return account
