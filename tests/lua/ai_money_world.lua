-- SPDX-License-Identifier: Apache-2.0
--- For specs of budgets and the ledger: a real database, a tenant in it, and several workers, each a copy of the modules with an owner of
--- its own. False where there is no database.
require "stand_in"
local world = require "data_world"
if not world then return false end
local auth = require "auth"
local sequencer = require "audit.sequencer"
local sql = require "core.sql"
local tenants = require "tenants"

local money = { world = world }

money.TARGET = { provider = "main", kind = "claude", model = "big", flags = {} }
-- 1000 tokens of output at 1 unit a million: a milli-unit, and what little the input is.
money.REQUEST = { messages = { { role = "user", text = "hello" } }, max_tokens = 1000 }

local MODULES = { "core.worker", "ai.ledger", "ai.ledger.shares", "ai.budget" }
local named, kick = 0, nil
local reserved = {}

--- A worker of the name: { budget, ledger, owner }. Those of the examples before still give back what they held, so none has its name twice.
function money.worker(name)
  named = named + 1
  name = name .. "-" .. named
  local before = {}
  for _, module in ipairs(MODULES) do before[module], package.loaded[module] = package.loaded[module], nil end
  package.loaded["core.worker"] = setmetatable({ owner = name }, { __index = before["core.worker"] })
  local budget = require "ai.budget"
  local made = { ledger = require "ai.ledger", owner = name, budget = setmetatable({ reserve = function(...)
    local reservation, err = budget.reserve(...)
    reserved[#reserved + 1] = reservation
    return reservation, err
  end }, { __index = budget }) }
  for _, module in ipairs(MODULES) do package.loaded[module] = before[module] end
  return made
end

function money.price(input, output)
  return { input = input, output = output, currency = "USD", version = "price 1" }
end

--- What providers.of gives, as far as a budget asks it.
function money.found(budget, of) return { budget = budget, price = function() return of or money.price(0, 1000000) end } end

function money.day_limit(micros)
  return { currency = "USD", day_micros = micros, warn_percent = 80 }
end

--- What an example leaves under way would be held beside the next one's, for as long as its worker lives.
function money.clean()
  for _, reservation in ipairs(reserved) do
    if not reservation.settled then reservation:settle(nil) end
  end
  reserved = {}
  for _, statement in ipairs{ "DELETE FROM ai_call", "DELETE FROM ai_spend", "DELETE FROM ai_share WHERE owner <> ''", "DELETE FROM outbox" } do
    assert(sql.query(money.acme.db, statement))
  end
end

function money.rows(text, ...) return assert(sql.query(money.acme.db, text, ...)) end

--- A reservation of a worker | nil, err.
function money.reserve(worker, limits)
  return worker.budget.reserve(money.acme, money.TARGET, money.REQUEST, { purpose = "api" }, money.found(limits))
end

--- One whole request: reserve, settle with so much output, write. Returns the promise of the ledger | nil, err.
function money.spend(worker, limits, output, more)
  local reservation, err = money.reserve(worker, limits)
  if not reservation then return nil, err end
  local entry = { provider = "main", model = "big", answer_key = worker.ledger.key(), attempt = 1, purpose = "api", ms = 10, usage = { input = 0, output = output } }
  entry.cost = reservation:settle(entry.usage)
  for key, value in pairs(more or {}) do entry[key] = value end
  return worker.ledger.attempt(money.acme, entry)
end

--- For setup and teardown.
function money.begin()
  world.begin{ "auth", "ai" }
  auth.put_operator("op@x.example", "a-Long-password")
  tenants.create{ slug = "acme", name = "acme", admin_email = "a@x.example", admin_password = "a-Long-password" }
  money.operator, money.admin = world.login("op@x.example", "a-Long-password"), world.login("a@x.example", "a-Long-password")
  money.acme = tenants.get("acme")
  kick = sequencer.kick
  sequencer.kick = function() end  -- what was written is looked at where it was written
end

function money.finish() sequencer.kick = kick end

return money
