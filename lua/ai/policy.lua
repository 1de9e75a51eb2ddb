-- SPDX-License-Identifier: Apache-2.0
--- How a turn is taken: what the tenant's policy says, for what it is asked, and what this one request wants. No I/O.
---
--- A policy as it is stored, all of it optional: { order = "quality"|"cost"|"latency"|"weighted"|"pinned", pinned = "provider/model", a provider
---   or a model, deadline_ms, first_token_ms, idle_ms, attempts, going_on, hedge = false | true | ms, degrade = boolean, cache = see ai.cache, guard = see ai.guard,
---   call = { the same fields for live calls }, campaign = ..., api = ... }
local policy = {}

-- A caller waits in silence; a campaign's text and a program can wait.
local BY_PURPOSE = {
  call = { deadline_ms = 12000, first_token_ms = 2500, idle_ms = 5000, attempts = 4, going_on = 1, wait_most_ms = 2000, hedge = true, degrade = true },
  campaign = { deadline_ms = 60000, first_token_ms = 15000, idle_ms = 15000, attempts = 4, going_on = 1, wait_most_ms = 20000, hedge = false, degrade = true },
  api = { deadline_ms = 120000, first_token_ms = 30000, idle_ms = 30000, attempts = 4, going_on = 1, wait_most_ms = 20000, hedge = false, degrade = false },
}

local BOUNDS = {
  deadline_ms = { 100, 600000 }, first_token_ms = { 50, 300000 }, idle_ms = { 50, 300000 }, attempts = { 1, 10 }, going_on = { 0, 3 },
  wait_most_ms = { 0, 60000 },
}
policy.bounds = BOUNDS
local ORDERS = { quality = true, cost = true, latency = true, weighted = true, pinned = true }

local HEDGE_LEAST_MS, HEDGE_MOST_MS, HEDGE_UNKNOWN_MS, HEDGE_SAMPLES = 150, 3000, 1000, 20

local function take(into, from)
  if type(from) ~= "table" then return end
  for name, bounds in pairs(BOUNDS) do
    local value = tonumber(from[name])
    if value and value == value then into[name] = math.max(bounds[1], math.min(bounds[2], value)) end
  end
  if ORDERS[from.order] then into.order = from.order end
  for _, name in ipairs{ "degrade", "hedge" } do
    if type(from[name]) == "boolean" then into[name] = from[name] end
  end
  if type(from.hedge) == "number" and from.hedge > 0 then into.hedge = from.hedge end
  if type(from.pinned) == "string" or type(from.pinned) == "table" then into.pinned = from.pinned end
  if type(from.cache) == "table" then into.cache = from.cache end
  if type(from.guard) == "table" then into.guard = from.guard end
end

local kept = setmetatable({}, { __mode = "k" })  -- a stored policy -> what it comes to for each purpose: it is the same table until it is changed
local none = {}

local function of_purpose(stored, purpose)
  if type(stored) ~= "table" then stored = none end
  local by_purpose = kept[stored]
  if not by_purpose then
    by_purpose = {}
    kept[stored] = by_purpose
  end
  local found = by_purpose[purpose]
  if not found then
    found = { order = "quality", purpose = purpose, fair = BY_PURPOSE[purpose] }
    take(found, BY_PURPOSE[purpose])
    take(found, stored)
    take(found, stored[purpose])
    by_purpose[purpose] = found
  end
  return found
end

--- The policy that holds for one request: all of the fields above, order among them; and fair: the times that the platform gives a model for
--- this purpose, whatever the tenant does.
--- @param stored table|nil  the tenant's; not changed once it was given here
--- @param options table     of ai.chat: policy = the name of an order, or a table of fields; pinned; deadline_ms
function policy.of(stored, options)
  local found = {}
  for name, value in pairs(of_purpose(stored, BY_PURPOSE[options.purpose] and options.purpose or "api")) do found[name] = value end
  take(found, type(options.policy) == "string" and { order = options.policy } or options.policy)
  if options.pinned then found.order, found.pinned = "pinned", options.pinned end
  if options.deadline_ms then take(found, { deadline_ms = options.deadline_ms }) end
  if found.order == "pinned" and not found.pinned then found.order = "quality" end
  return found
end

--- After how long a second model is asked beside one that has said nothing yet; nil: never. Where it is not said in ms, after what 19 of
--- 20 answers of that model have kept to lately.
function policy.hedge_ms(of, health, target)
  if not of.hedge then return nil end
  if type(of.hedge) == "number" then return math.max(1, of.hedge) end
  local usual = health:latency_ms(target, 0.95, HEDGE_SAMPLES) or HEDGE_UNKNOWN_MS
  return math.max(HEDGE_LEAST_MS, math.min(HEDGE_MOST_MS, usual))
end

return policy
