-- SPDX-License-Identifier: Apache-2.0
--- What a worker holds of a budget, when the database is away, does not say how it ended, or others want it.
local money = require "ai_money_world"
if not money then
  describe("ai shares", function() pending("needs the host with a database") end)
  return
end
local clock = require "core.clock"
local log = require "core.log"
local sql = require "core.sql"
local task = require "core.task"

local acme, day_limit, reserve = nil, money.day_limit, money.reserve
local transaction, mono_ms, warn = sql.transaction, clock.mono_ms, log.warn

-- The database is away.
local function nothing_works() return nil, { code = "closed", text = "away" } end

-- The next transaction of a worker that touches its row is committed, and the answer lost.
local function loses_one_answer(worker)
  sql.transaction = function(name, fn)
    local mine = false
    local result, err = transaction(name, function(tx)
      return fn{ query = function(_, text, ...)
        for i = 1, select("#", ...) do mine = mine or select(i, ...) == worker.owner end
        return tx:query(text, ...)
      end }
    end)
    if not mine then return result, err end
    sql.transaction = transaction
    return nil, { code = "closed", text = "the connection was lost" }
  end
end

local function later(ms)
  clock.mono_ms = function() return mono_ms() + ms end
end

-- What the database says a worker holds.
local function held_by(worker)
  local row = money.rows("SELECT micros FROM ai_share WHERE owner = ?", worker.owner)[1]
  return row and row.micros or 0
end

local function wait_until(fn)
  for _ = 1, 100 do
    if fn() then return true end
    task.sleep(50)
  end
  return false
end

setup(function()
  money.begin()
  acme = money.acme
  log.warn = function() end
end)

teardown(function()
  money.finish()
  log.warn = warn
end)

describe("a share of a budget", function()
  before_each(money.clean)
  after_each(function() sql.transaction, clock.mono_ms = transaction, mono_ms end)

  it("was spent from after its lease had ended, with the database away for a minute", function()
    local one, limits = money.worker("w1"), day_limit(100000)
    assert.is_truthy(reserve(one, limits))
    sql.transaction = nothing_works
    assert.is_truthy(reserve(one, limits))  -- of what is held, as long as it is
    later(61000)
    local _, err = reserve(one, limits)
    assert.equal("away", err.code)
    sql.transaction = transaction
    assert.is_truthy(reserve(one, limits))
    assert.equal(3000 + 20000, held_by(one))
  end)

  it("that another took when its lease had ended is not spent twice", function()
    local one, two, limits = money.worker("w1"), money.worker("w2"), day_limit(25000)
    local first = reserve(one, limits)
    assert.equal(1000 + 6000, held_by(one))
    money.rows("UPDATE ai_share SET ends_at = UTC_TIMESTAMP(6) WHERE owner = ?", one.owner)
    for _ = 1, 25 do assert.is_truthy(money.spend(two, limits, 1000)) end
    later(61000)
    assert.is_nil(reserve(one, limits))
    -- What is under way is paid for all the same.
    local usage = { input = 0, output = 1000 }
    one.ledger.attempt(acme, { provider = "main", model = "big", purpose = "api", ms = 1, usage = usage, cost = first:settle(usage) })
    assert.is_true(one.ledger.settle(3000) and two.ledger.settle(3000))
    assert.equal(26000, money.rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros)
    assert.equal(0, held_by(one))
  end)

  -- It lasted for minutes at the pace after the burst, and nobody else could have any of it.
  it("that a burst has made large was kept while it was used at all", function()
    local one, limits = money.worker("w1"), day_limit(1e9)
    for _ = 1, 3000 do assert.is_truthy(reserve(one, limits)) end
    assert.is_true(held_by(one) > 3000 * 1000 + 500000, "held " .. held_by(one))
    for _ = 1, 16 do
      task.sleep(300)
      assert.is_truthy(reserve(one, limits))
    end
    assert.is_true(held_by(one) < 3016 * 1000 + 50000, "held " .. held_by(one))
  end)

  it("is for two seconds where there is little left", function()
    local one, limits = money.worker("w1"), day_limit(60000)
    for _ = 1, 3 do assert.is_truthy(reserve(one, limits)) end
    assert.is_true(held_by(one) > 15000)
    for _ = 1, 6 do
      task.sleep(600)
      reserve(one, limits):settle(nil)
    end
    -- Three are under way, and what two seconds need is kept, at most twice as much.
    assert.is_true(held_by(one) <= 3000 + 2 * 2 * 2000, "held " .. held_by(one))
  end)

  it("of which the database did not say that it was taken is neither lost nor counted twice", function()
    local one, limits = money.worker("w1"), day_limit(1e9)
    loses_one_answer(one)
    local _, err = reserve(one, limits)
    assert.equal("away", err.code)
    assert.equal(21000, held_by(one))
    local reservation = reserve(one, limits)
    assert.equal(21000, held_by(one))
    reservation:settle(nil)
    assert.is_true(wait_until(function() return held_by(one) == 0 end))
  end)

  it("of which the database did not say that it was taken is given back when nobody asks again", function()
    local one = money.worker("w1")
    loses_one_answer(one)
    reserve(one, day_limit(1e9))
    assert.equal(21000, held_by(one))
    assert.is_true(wait_until(function() return held_by(one) == 0 end))
  end)

  it("of which the database did not say that it was given back is not spent any more", function()
    local one, limits = money.worker("w1"), day_limit(1e9)
    reserve(one, limits):settle(nil)
    loses_one_answer(one)
    assert.is_true(wait_until(function() return sql.transaction == transaction end))
    task.sleep(50)
    assert.equal(0, held_by(one))
    assert.is_truthy(reserve(one, limits))
    assert.equal(21000, held_by(one))
  end)

  it("pays once for what was booked by a transaction whose answer was lost", function()
    local one, limits = money.worker("w1"), day_limit(1e9)
    local written = money.spend(one, limits, 400)
    local other = reserve(one, limits)
    loses_one_answer(one)
    task.sleep(400)
    assert.equal(20600, held_by(one))
    assert.is_true(written:wait())
    other:settle(nil)
    assert.equal(400, money.rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros)
    assert.is_true(wait_until(function() return held_by(one) == 0 end))
  end)

  it("stays what it is while it is taken from, given back and booked at the same time, and answers are lost", function()
    local one, limits, running = money.worker("w1"), day_limit(1e9), 0
    sql.transaction = function(...)
      if math.random() < 0.7 then return transaction(...) end
      if math.random() < 0.5 then return nothing_works() end
      assert(transaction(...))
      return nothing_works()
    end
    local cost = 0
    for _ = 1, 20 do
      running = running + 1
      task.spawn(function()
        for _ = 1, 20 do
          local reservation = reserve(one, limits)
          task.sleep(math.random(1, 30))
          local usage = { input = 0, output = math.random(1, 1500) }
          if reservation then
            cost = cost + usage.output
            one.ledger.attempt(acme, { provider = "main", model = "big", purpose = "api", ms = 1, usage = usage, cost = reservation:settle(usage) })
          end
        end
        running = running - 1
      end)
    end
    assert.is_true(wait_until(function() return running == 0 end))
    sql.transaction = transaction
    assert.is_true(one.ledger.settle(5000))
    assert.equal(cost, money.rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros)
    assert.is_true(wait_until(function() return held_by(one) == 0 end))
  end)
end)
