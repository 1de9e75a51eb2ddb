-- SPDX-License-Identifier: Apache-2.0
--- What it costs to book attempts: parley run tests/bench/ledger.lua TENANT ATTEMPTS RATE BUDGET, "all" as RATE: as many as the ledger takes;
--- BUDGET "budget": each is reserved first. A line, with tabs: attempts a second until all are booked, until their events are in the stream,
--- microseconds of this process for each, megabytes that its Lua had at most.
local budget = require "ai.budget"
local clock = require "core.clock"
local ledger = require "ai.ledger"
local store = require "audit.store"
local task = require "core.task"
local tenants = require "tenants"

local WAITING = 4000
local REQUEST = { messages = { { role = "user", text = "hello there" } }, max_tokens = 200 }
local TARGET = { provider = "main", kind = "openai_chat", model = "gpt-4.1-mini", flags = {} }

local slug, attempts, rate, with = ...
attempts, rate = tonumber(attempts), tonumber(rate)
local tenant = assert(tenants.get(slug))
local price = { input = 400000, output = 1600000, currency = "USD", version = "2026-11-01" }
local found = { budget = with == "budget" and { currency = "USD", day_micros = 1e15, warn_percent = 80 } or {}, price = function() return price end }

local function one(i)
  local reservation = assert(budget.reserve(tenant, TARGET, REQUEST, { purpose = "api" }, found))
  local usage = { input = 12, output = 30 + i % 100 }
  return ledger.attempt(tenant, { provider = TARGET.provider, model = TARGET.model, answer_key = ledger.key(), attempt = 1, purpose = "api", usage = usage,
    cost = reservation:settle(usage), ms = 300 + i % 700, first_token_ms = 200, key_id = "ak_0123456789abcdef", trace = ("%032x"):format(i) })
end

local began_ms, cpu, most_kb, last = clock.mono_ms(), os.clock(), 0, nil
for i = 1, attempts do
  last = one(i)
  if i % 20 == 0 then
    most_kb = math.max(most_kb, collectgarbage("count"))
    if rate then
      task.sleep(math.max(1, i / rate * 1000 - (clock.mono_ms() - began_ms)))
    else
      repeat task.sleep(5) until ledger.waiting(tenant) < WAITING
    end
  end
end
last:wait()
assert(ledger.settle(10000))
local booked_ms = clock.mono_ms() - began_ms
while store.has_work(tenant.db) do task.sleep(20) end
local all_ms = clock.mono_ms() - began_ms
print(("%.0f\t%.0f\t%.1f\t%.0f"):format(attempts / booked_ms * 1000, attempts / all_ms * 1000, (os.clock() - cpu) * 1e6 / attempts, most_kb / 1024))
budget.settle()
return 0
