-- SPDX-License-Identifier: Apache-2.0
--- What a tenant may spend in a day and a month (UTC), and what each request takes of it.
---
---   budget.reserve(tenant, target, request, scope [, found]) -> reservation | nil, err
---     request canonical, { texts }, or { most = the usage that it can come to }: of speech, which has units of its own
---     scope   { purpose = "call" | "campaign" | "api" }, for the figures
---     found   providers.of(tenant), where the caller has it at hand
---     err     { class = "budget", text, code = "spent" | "held" | "no_price" | "currency" | "away" | "behind" }
---   reservation.micros                 the most that the request can cost
---   reservation:settle(usage | nil) -> cost   once, whatever comes: { micros, currency, version } of a usage event; nil: nothing was
---                                      billed (nobody answered). A cut stream was billed: give what was counted of it.
---   The cost goes to ledger.attempt once, which books it: what is settled and not booked stays reserved.
---
--- The truth is in the tenant's schema: what was spent (ai_spend, moved in the transaction that writes ai_call) and what each worker
--- holds (ai_share). A worker takes a share that is good for some requests, in one transaction in which no other can, and reserves
--- from it without asking anybody, for a minute at most (ai.ledger.shares). A request is let through while spent and held together are
--- below the budget: so all workers together overspend by less than one request, and the last one is not refused because it might be
--- long. What that one did not use of what it held beyond the end is nobody else's: it goes back at once. What is not used goes back
--- within two seconds, and what is more than a worker needs after a burst within four; the share of a worker that died counts as spent
--- for a minute. This is not in Redis because Redis may come back empty, and a budget may not.
---
--- Where nothing is spent yet of what is left and requests under way hold all of it, the next waits some seconds for what they give back.
---
--- Without a budget nothing is asked, and a model without a price costs nothing.
local clock = require "core.clock"
local db = require "lib.db"
local estimate = require "ai.estimate"
local fault = require "core.fault"
local ledger = require "ai.ledger"
local log = require "core.log"
local metrics = require "core.metrics"
local prices = require "ai.prices"
local promise = require "lib.promise"
local providers = require "ai.providers"
local shares = require "ai.ledger.shares"
local store = require "ai.ledger.store"
local task = require "core.task"
local time = require "lib.time"
local timer = require "core.timer"

local budget = {}

local Reservation = {}
Reservation.__index = Reservation

-- Requests like this one that a share is taken for: twice as many each time it lasted for less than SOON_MS, so that a busy worker
-- does not ask for each few.
local AHEAD, AHEAD_MOST, SOON_MS = 20, 1280, 500
local RENEW_MS = 20000
local SWEEP_MS, AGAIN_MS = 1000, 2000
local HELD_MS, HELD_PAUSE_MS = 3000, 100
local ROWS_MOST = 20000 -- that wait to be written: who would be next is refused, for what it costs could not be kept
local COST_MOST = 2 ^ 43 -- micros of one attempt: a batch of them is still a whole number

-- What is kept with a share: taking = promise of who asks for more, giving, used_ms, ahead = requests that were taken for last, at
-- taken_ms, plenty = there was more than enough, again_ms = when to try again what failed; recent, most = micros that were reserved
-- since the last sweep, in all and for one request, and the same before it
local function empty()
  local now = clock.mono_ms()
  return { taking = nil, giving = nil, used_ms = now, ahead = AHEAD, taken_ms = now - SOON_MS, plenty = false, again_ms = now,
    recent = 0, most = 0, recent_before = 0, most_before = 0 }
end

local sweeper

-- Gives back all that is free, or all but so much. Renews the rest.
local function give_back(share, keep)
  local turn = share:turn()
  share.giving = true
  local ok, err = pcall(db.transaction, share.tenant.db, turn:guarded(function(tx)
    turn:enter(tx)
    turn:put(tx, share:claim(keep or 0))
    store.forget_shares(tx, shares.owner())
  end))
  if ok then fault.point("budget.share_given_back") end
  turn:over(ok)
  share.giving = nil
  if ok then return end
  share.again_ms = clock.mono_ms() + AGAIN_MS
  log.warn("ai.share_not_given_back", { tenant = share.tenant.slug, text = tostring(err) })
end

-- What is worth keeping for requests to come: two seconds like the busier one of the last two and, where nobody is short of it, as much as
-- one begins with. Nothing where there were none.
local function worth_keeping(share, now)
  local keep = 0
  if now - share.used_ms < SWEEP_MS then
    keep = 2 * math.max(share.recent, share.recent_before)
    if share.plenty then keep = math.max(keep, AHEAD * math.max(share.most, share.most_before)) end
  end
  share.recent_before, share.recent, share.most_before, share.most = share.recent, 0, share.most, 0
  return keep
end

local function sweep()
  local now = clock.mono_ms()
  for id, share in pairs(shares.all()) do
    if share.taking or share.giving or not shares.drop(id) then
      local keep = worth_keeping(share, now)
      -- Twice as much, so that what a worker takes while it is busy does not go to and fro.
      local give = share.surplus > 0 or share.unsure or share:free() > 2 * keep or (share.held ~= 0 and now - share.written_ms >= RENEW_MS)
      if give and not share.giving and not share.taking and now >= share.again_ms then task.spawn(give_back, share, keep) end
    end
  end
  if next(shares.all()) == nil then
    sweeper:cancel()
    sweeper = nil
  end
end

local function share_of(tenant)
  sweeper = sweeper or timer.every(SWEEP_MS, sweep)
  return shares.of(tenant, empty)
end

-- Room that the budgets leave, from what was spent and what all hold.
local function room_of(limits, spent, held)
  local room = math.huge
  if limits.day_micros then room = math.min(room, limits.day_micros - spent.day - held) end
  if limits.month_micros then room = math.min(room, limits.month_micros - spent.month - held) end
  return room
end

-- Takes so much from the database, and something ahead: true, how many of them are beyond the budget's end | false, "spent" or "held" when
-- nothing is left.
local function take(share, limits, micros)
  local now, now_ms = clock.wall_us(), clock.mono_ms()
  local times = now_ms - share.taken_ms < SOON_MS and math.min(2 * share.ahead, AHEAD_MOST) or AHEAD
  local turn, plenty = share:turn(), false
  local ok, taken, more = pcall(db.transaction, share.tenant.db, turn:guarded(function(tx)
    turn:enter(tx)
    local spent, others = store.read_spend(tx, shares.owner(), ledger.day(now), ledger.month(now), limits.currency, time.sql(now))
    local used = share.reserved + share.booked  -- what is free of ours is in the room, too
    local room = room_of(limits, spent, others + used)
    if room <= 0 then return false, room_of(limits, spent, 0) > 0 and "held" or "spent" end
    local ahead = math.floor(math.max(0, math.min(times * micros, (room - micros) / 4)))
    plenty = ahead == times * micros
    share:claim()
    turn:put(tx, used + micros + ahead)
    return true, math.max(0, micros - room)
  end))
  fault.point("budget.share_taken")
  if ok and taken then
    share.reserved, share.ahead, share.taken_ms, share.plenty = share.reserved + micros, times, now_ms, plenty
  end
  turn:over(ok)
  if not ok then error(taken, 0) end
  return taken, more
end

local function note(share, micros)
  share.used_ms, share.recent = clock.mono_ms(), share.recent + micros
  if micros > share.most then share.most = micros end
end

-- One try to reserve micros of the share: how many of them are beyond the budget's end | nil, code.
local function try(share, limits, micros)
  while share.taking do
    -- What is held is so for all who waited: each asking again would only stand in the way of those who give back.
    if share.taking:wait() == "held" then return nil, "held" end
  end
  if share:usable() >= micros then
    share.reserved = share.reserved + micros
    note(share, micros)
    return 0
  end
  local done = promise.new()
  share.taking = done  -- what is free is nobody else's while we ask
  local ok, taken, more = pcall(take, share, limits, micros)
  share.taking = nil
  if ok and taken then note(share, micros) end
  done:give(ok and not taken and more or nil)
  if ok and taken then return more end
  if ok then return nil, more end
  log.warn("ai.budget_not_read", { tenant = share.tenant.slug, text = tostring(taken) })
  return nil, "away"
end

local function reserve(share, limits, micros)
  local ends = clock.mono_ms() + HELD_MS
  while true do
    local beyond, code = try(share, limits, micros)
    if code ~= "held" or clock.mono_ms() > ends then return beyond, code end
    task.sleep(HELD_PAUSE_MS)
  end
end

local texts = {
  spent = "the budget is spent; it begins anew with the next day or month, or an admin raises it",
  held = "requests under way hold what is left of the budget; try again in some seconds, or let an admin raise it",
  no_price = "the model has no price, so what it costs cannot be held against the budget",
  currency = "the model's price is in another currency than the budget",
  away = "what is left of the budget cannot be read just now",
  behind = "what requests cost cannot be written just now, and too much waits already",
}

local function refuse(code, purpose)
  metrics.count("ai_budget_refused_total", { reason = code, purpose = purpose or "api" }, 1, "requests that were not made for their cost")
  return nil, { class = "budget", code = code, text = texts[code] }
end

--- See above. May wait, where the worker's share is used up.
function budget.reserve(tenant, target, request, scope, found)
  found = found or providers.of(tenant)
  local limits, price = found.budget, found.price(target)
  local purpose = scope and scope.purpose
  if ledger.waiting(tenant) >= ROWS_MOST then return refuse("behind", purpose) end
  local reservation = setmetatable({ micros = 0, price = price }, Reservation)
  if price then
    reservation.micros = request.most and prices.cost(price, request.most) or prices.most(price, (estimate.input(request)), estimate.output(request, target))
  end
  if not limits.day_micros and not limits.month_micros then return reservation end
  if not price then return refuse("no_price", purpose) end
  if price.currency ~= limits.currency then return refuse("currency", purpose) end
  local share = share_of(tenant)
  share.open = share.open + 1
  local beyond, code = reserve(share, limits, reservation.micros)
  if not beyond then
    share.open = share.open - 1
    return refuse(code, purpose)
  end
  reservation.share, reservation.beyond = share, beyond
  return reservation
end

--- See above. Never waits.
function Reservation:settle(usage)
  assert(not self.settled, "a reservation is settled once")
  self.settled = true
  local price = self.price
  local micros = price and usage and math.min(prices.cost(price, usage), COST_MOST) or 0
  local share = self.share
  if share then
    share.open, share.reserved, share.booked = share.open - 1, share.reserved - self.micros, share.booked + micros
    local surplus = math.min(self.beyond, self.micros - micros)
    if surplus > 0 then
      share.surplus = share.surplus + surplus
      if not share.giving then task.spawn(give_back, share) end
    end
  end
  return { micros = micros, currency = price and price.currency or nil, version = price and price.version or nil, share = share }
end

--- Gives back what this worker holds and does not use: for one that ends.
function budget.settle()
  for _, share in pairs(shares.all()) do
    if (share:free() > 0 or share.surplus > 0 or share.unsure) and not share.giving then give_back(share) end
  end
end

--- What was spent of what there is: { currency, day = { spent, held, limit | nil }, month = the same } in micros. May wait.
function budget.left(tenant)
  local limits, now = providers.budget(tenant), clock.wall_us()
  local currency = limits.currency or "USD"
  local spent, held = store.spend_now(tenant.db, ledger.day(now), ledger.month(now), currency, time.sql(now))
  return { currency = currency, warn_percent = limits.warn_percent, day = { spent = spent.day, held = held, limit = limits.day_micros },
    month = { spent = spent.month, held = held, limit = limits.month_micros } }
end

return budget
