-- SPDX-License-Identifier: Apache-2.0
--- Budgets and the ledger of what was asked, with a real database and several workers.
local money = require "ai_money_world"
if not money then
  describe("ai money", function() pending("needs the host with a database") end)
  return
end
local crypto = require "core.crypto"
local db = require "lib.db"
local json = require "core.json"
local promise = require "lib.promise"
local providers = require "ai.providers"
local sql = require "core.sql"
local store = require "ai.ledger.store"
local task = require "core.task"

local TARGET, REQUEST = money.TARGET, money.REQUEST
local clean, day_limit, found, rows, spend, worker_named, world = money.clean, money.day_limit, money.found, money.rows, money.spend, money.worker, money.world
local operator, admin, acme

setup(function()
  money.begin()
  operator, admin, acme = money.operator, money.admin, money.acme
end)

teardown(money.finish)

describe("an attempt", function()
  local one
  before_each(function()
    clean()
    one = worker_named("w1")
  end)

  it("is a row, an event, sums of the day and the month, all there when it is acknowledged", function()
    assert.is_true(spend(one, {}, 500, { key_id = "ak_x", first_token_ms = 3, campaign_id = 7, trace = ("a"):rep(32) }):wait())
    local row = rows("SELECT * FROM ai_call")[1]
    assert.same({ "main", "big", 500, 500, 500, "USD", 1, "api", "ak_x", 7, "price 1" }, { row.provider, row.model, row.tokens_used, row.output_tokens,
      row.cost, row.currency, row.success, row.purpose, row.key_id, row.campaign_id, row.price_version })
    assert.is_nil(row.call_id)
    local sums = rows("SELECT scope, micros, requests, LENGTH(period) AS n FROM ai_spend ORDER BY n, scope")
    assert.equal(6, #sums)
    for _, sum in ipairs(sums) do assert.same({ 500, 1 }, { sum.micros, sum.requests }) end
    local event = json.decode(rows("SELECT data FROM outbox WHERE type = 'ai.attempt'")[1].data)
    assert.same({ 500, "main", 1 }, { event.micros, event.provider, event.attempt })
  end)

  it("that failed is a row with its class and costs nothing", function()
    local reservation = one.budget.reserve(acme, TARGET, REQUEST, {}, found{})
    assert.is_true(one.ledger.attempt(acme, { provider = "main", model = "big", purpose = "call", ms = 7, cost = reservation:settle(nil), class = "overload",
      text = "busy\r\nInjected: line" }):wait())
    local row = rows("SELECT success, cost, error_class, error_message FROM ai_call")[1]
    assert.same({ 0, 0, "overload", "busy  Injected: line" }, { row.success, row.cost, row.error_class, row.error_message })
    assert.equal(1, rows("SELECT failed FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].failed)
  end)

  it("of a call adds its cost to the call, by row and by public id", function()
    local call = rows("INSERT INTO `call` (public_id, direction, start_time, status) VALUES ('c-1', 'inbound', UTC_TIMESTAMP(6), 'connected')").insert_id
    spend(one, {}, 300, { call_id = call })
    assert.is_true(spend(one, {}, 200, { call = "c-1" }):wait())
    local row = rows("SELECT cost, currency, ai_provider FROM `call` WHERE id = ?", call)[1]
    assert.same({ 500, "USD", "main" }, { row.cost, row.currency, row.ai_provider })
    assert.equal(2, rows("SELECT COUNT(*) AS n FROM ai_call WHERE call_id = ?", call)[1].n)
    clean()
    rows("DELETE FROM `call` WHERE id = ?", call)
  end)

  it("with a callId that is no call keeps it as a reference, and so does one whose call is gone", function()
    spend(one, {}, 1, { call = "crm-4711" })
    assert.is_true(spend(one, {}, 1, { call_id = 999999 }):wait())
    local found_rows = rows("SELECT call_id, external_ref FROM ai_call ORDER BY id")
    assert.same({ [2] = "crm-4711" }, { found_rows[1].call_id, found_rows[1].external_ref })
    assert.same({ [2] = "999999" }, { found_rows[2].call_id, found_rows[2].external_ref })
  end)

  it("whose provider claims more tokens than can be counted is written all the same", function()
    assert.is_true(spend(one, {}, 2 ^ 53):wait())
    assert.equal(2 ^ 31 - 1, rows("SELECT output_tokens FROM ai_call")[1].output_tokens)
  end)

  it("is written once when the database took it and its answer was lost", function()
    local audit = require "audit"
    local transaction, lost = audit.transaction, 0
    audit.transaction = function(tenant, fn)
      local result = transaction(tenant, fn)
      if lost < 1 then
        lost = lost + 1
        error("the connection broke after the commit", 0)
      end
      return result
    end
    local log = require "core.log"
    local said = log.error
    log.error = function() end
    local written, answered = spend(one, {}, 100), one.ledger.answer(acme, { answer_key = one.ledger.key(), purpose = "api", attempts = 1, ms = 1 })
    assert.is_true(written:wait() and answered:wait())
    audit.transaction, log.error = transaction, said
    assert.equal(1, lost)
    assert.equal(1, rows("SELECT COUNT(*) AS n FROM ai_call")[1].n)
    assert.equal(100, rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros)
    assert.equal(1, rows("SELECT COUNT(*) AS n FROM outbox WHERE type = 'ai.answer'")[1].n)
  end)

  -- Only who had written it looked whether it was there.
  it("and an answer that two workers write are there once", function()
    local log = require "core.log"
    local said = log.error
    log.error = function() end
    local key, two = one.ledger.key(), money.worker("w2")
    local function answer(worker) return worker.ledger.answer(acme, { answer_key = key, purpose = "api", attempts = 1, ms = 1 }) end
    assert.is_true(answer(one):wait())
    for _ = 1, 3 do two.ledger.answer(acme, { answer_key = two.ledger.key(), purpose = "api", attempts = 1, ms = 1 }) end
    answer(two)
    local settled = two.ledger.settle(8000)
    log.error = said
    assert.is_true(settled)
    assert.equal(4, rows("SELECT COUNT(*) AS n FROM outbox WHERE type = 'ai.answer'")[1].n)
    assert.equal(1, rows("SELECT COUNT(*) AS n FROM outbox WHERE type = 'ai.answer' AND subject = ?", crypto.hex(key))[1].n)
  end)

  it("is kept while the database refuses it, and acknowledged only when it is there", function()
    local add, refusing = store.add_calls, true
    store.add_calls = function(...)
      if refusing then error("away", 0) end
      return add(...)
    end
    local log = require "core.log"
    local said = log.error
    log.error = function() end
    local written = spend(one, {}, 100)
    task.sleep(400)
    assert.is_false(written:given())
    assert.equal(1, one.ledger.waiting(acme))
    refusing = false
    assert.is_true(written:wait())
    store.add_calls, log.error = add, said
    assert.equal(1, rows("SELECT COUNT(*) AS n FROM ai_call")[1].n)
  end)

  -- Eight rows were a statement, and each event was one of its own: after ten seconds at full speed 20,000 waited, and requests were refused.
  it("was a statement and more for each, and many waited behind it", function()
    local run, statements = db.run, 0
    db.run = function(...)
      statements = statements + 1
      return run(...)
    end
    local last
    for _ = 1, 2000 do last = spend(one, {}, 1) end
    local written = last:wait()
    db.run = run
    assert.is_true(written and one.ledger.settle(5000))
    assert.is_true(statements < 50, statements .. " statements")
    assert.equal(2000, rows("SELECT COUNT(*) AS n FROM outbox WHERE type = 'ai.attempt'")[1].n)
  end)

  -- While one batch was written a few came, which were the next: a busy worker wrote all the time, few at a time.
  it("that comes while others are written waits for more", function()
    local audit = require "audit"
    local transaction, count = audit.transaction, 0
    audit.transaction = function(...)
      count = count + 1
      return transaction(...)
    end
    local last
    for _ = 1, 200 do
      last = spend(one, {}, 1)
      task.sleep(5)
    end
    local written = last:wait()
    audit.transaction = transaction
    assert.is_true(written)
    assert.is_true(count <= 20, count .. " transactions")
  end)

  it("and an answer are events in the order in which they were told", function()
    local told = {}
    for i = 1, 40 do
      local key = one.ledger.key()
      spend(one, {}, 1, { answer_key = key })
      one.ledger.answer(acme, { answer_key = key, purpose = "api", attempts = 1, ms = i })
      local hex = crypto.hex(key)
      told[2 * i - 1], told[2 * i] = "ai.attempt " .. hex, "ai.answer " .. hex
    end
    assert.is_true(one.ledger.settle(2000))
    local events = {}
    for i, row in ipairs(rows("SELECT type, subject FROM outbox ORDER BY id")) do events[i] = row.type .. " " .. row.subject end
    assert.same(told, events)
  end)

  it("keeps what its provider says letter by letter, and what is no text readable", function()
    local said = [[a "quote", a \ and \u0041, Grüße, 你好, 🎉]]
    spend(one, {}, 1, { class = "server", text = said, external_ref = [[ref"\]], model = "m/\"x\"" })
    assert.is_true(spend(one, {}, 1, { class = "server", text = "bytes \255\254 and\0NUL", external_ref = "r\255" }):wait())
    local found_rows = rows("SELECT error_message, external_ref, model FROM ai_call ORDER BY id")
    assert.same({ said, [[ref"\]], "m/\"x\"" }, { found_rows[1].error_message, found_rows[1].external_ref, found_rows[1].model })
    assert.same({ "bytes ?? and?NUL", "r?" }, { found_rows[2].error_message, found_rows[2].external_ref })
    assert.equal("m/\"x\"", json.decode(rows("SELECT data FROM outbox ORDER BY id LIMIT 1")[1].data).model)
  end)

  it("of many calls adds to each what is its own, in the currency that the call has", function()
    local ids = {}
    for i = 1, 75 do
      ids[i] = rows("INSERT INTO `call` (public_id, direction, start_time, status) VALUES (?, 'inbound', UTC_TIMESTAMP(6), 'connected')", "many-" .. i).insert_id
    end
    for i, id in ipairs(ids) do
      spend(one, {}, i, { call_id = i % 2 == 0 and id or nil, call = "many-" .. i })
      spend(one, {}, i, { call_id = id, provider = "other" })
    end
    local euro = one.budget.reserve(acme, TARGET, REQUEST, {}, found({}, { input = 0, output = 1000000, currency = "EUR", version = "e" }))
    local usage = { input = 0, output = 7 }
    one.ledger.attempt(acme, { provider = "main", model = "big", purpose = "call", ms = 1, usage = usage, cost = euro:settle(usage), call_id = ids[1] })
    assert.is_true(one.ledger.settle(2000))
    for i, row in ipairs(rows("SELECT cost, currency FROM `call` WHERE public_id LIKE 'many-%' ORDER BY id")) do
      -- The first call's currency is the one that came first in the batch's order; what is in the other stands in ai_call alone.
      local expected = i == 1 and row.currency == "EUR" and 7 or 2 * i
      assert.equal(expected, row.cost)
      if i > 1 then assert.equal("USD", row.currency) end
    end
    assert.equal("other", rows("SELECT ai_provider FROM `call` WHERE public_id = 'many-2'")[1].ai_provider)
    clean()
    rows("DELETE FROM `call` WHERE public_id LIKE 'many-%'")
  end)

  -- A sum in the other currency that was as large as the call's own turned dollars into euros.
  it("leaves a call its currency, however much is added in another", function()
    local id = rows("INSERT INTO `call` (public_id, direction, start_time, status) VALUES ('two', 'inbound', UTC_TIMESTAMP(6), 'connected')").insert_id
    local function add(currency, micros)
      db.transaction(acme.db, function(tx) store.add_call_costs(tx, currency, { { id = id, micros = micros, provider = "main" } }) end)
      local row = rows("SELECT cost, currency FROM `call` WHERE id = ?", id)[1]
      return { row.cost, row.currency }
    end
    assert.same({ 0, "EUR" }, add("EUR", 0))
    assert.same({ 500, "USD" }, add("USD", 500))
    assert.same({ 500, "USD" }, add("EUR", 500))
    assert.same({ 500, "USD" }, add("EUR", 7))
    assert.same({ 507, "USD" }, add("USD", 7))
    rows("DELETE FROM `call` WHERE id = ?", id)
  end)

  -- Each currency's calls were updated from the lowest id on: two workers that did so waited for each other.
  it("of calls in two currencies holds no later call while it waits for an earlier one", function()
    local ids = {}
    for i = 1, 3 do
      ids[i] = rows("INSERT INTO `call` (public_id, direction, start_time, status) VALUES (?, 'inbound', UTC_TIMESTAMP(6), 'connected')", "held-" .. i).insert_id
    end
    local go_on = promise.new()
    task.spawn(db.transaction, acme.db, function(tx)
      db.run(tx, "SELECT 1 AS held FROM `call` WHERE id = ? FOR UPDATE", ids[2])
      go_on:wait()
    end)
    task.sleep(50)
    local usage = { input = 0, output = 7 }
    for i, currency in ipairs{ "USD", "EUR", "USD" } do
      local reservation = one.budget.reserve(acme, TARGET, REQUEST, {}, found({}, { input = 0, output = 1000000, currency = currency, version = "v" }))
      one.ledger.attempt(acme, { provider = "main", model = "big", purpose = "call", ms = 1, usage = usage, cost = reservation:settle(usage), call_id = ids[i] })
    end
    task.sleep(500)
    local free, err = sql.query(acme.db, "SELECT id FROM `call` WHERE id = ? FOR UPDATE NOWAIT", ids[3])
    local first_held = not sql.query(acme.db, "SELECT id FROM `call` WHERE id = ? FOR UPDATE NOWAIT", ids[1])
    go_on:give(true)
    assert.is_true(one.ledger.settle(2000))
    assert.is_truthy(free, err and err.text)
    assert.is_true(first_held)
    assert.same({ "USD", "EUR", "USD" }, { rows("SELECT currency FROM `call` WHERE id = ?", ids[1])[1].currency,
      rows("SELECT currency FROM `call` WHERE id = ?", ids[2])[1].currency, rows("SELECT currency FROM `call` WHERE id = ?", ids[3])[1].currency })
    clean()
    rows("DELETE FROM `call` WHERE public_id LIKE 'held-%'")
  end)

  it("and many at once are written in batches, none lost, none twice", function()
    local last
    for _ = 1, 300 do last = spend(one, {}, 1) end
    assert.is_true(last:wait())
    assert.is_true(one.ledger.settle(2000))
    local sum = rows("SELECT COUNT(*) AS n, COUNT(DISTINCT entry_key) AS k FROM ai_call")[1]
    assert.same({ 300, 300 }, { sum.n, sum.k })
    assert.equal(300, rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros)
    assert.equal(300, rows("SELECT COUNT(*) AS n FROM outbox WHERE type = 'ai.attempt'")[1].n)
  end)
end)

describe("a budget", function()
  before_each(clean)

  it("lets requests through until it is spent, and the last one may be longer than what is left", function()
    local one, limits = worker_named("w1"), day_limit(2500)
    local passed = 0
    while true do
      local written, err = spend(one, limits, 1000)
      if not written then
        assert.same({ "budget", "spent" }, { err.class, err.code })
        break
      end
      passed = passed + 1
      assert.is_true(written:wait())
    end
    assert.equal(3, passed)
  end)

  it("counts what is under way, so that many at once do not pass for being asked together", function()
    local one, limits = worker_named("w1"), day_limit(10000)
    local passed, refused, done = 0, 0, promise.new()
    for i = 1, 50 do
      task.spawn(function()
        if one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits)) then passed = passed + 1 else refused = refused + 1 end
        if passed + refused == 50 then done:give(i) end
      end)
    end
    done:wait()
    assert.equal(10, passed)
  end)

  it("is never overspent by more than one request by all workers together", function()
    local workers, limits, tasks, ended = {}, day_limit(100000), 0, promise.new()
    for i = 1, 4 do workers[i] = worker_named("w" .. i) end
    local passed = 0
    for i = 1, 40 do
      tasks = tasks + 1
      task.spawn(function()
        local worker = workers[i % 4 + 1]
        for _ = 1, 20 do
          local reservation = worker.budget.reserve(acme, TARGET, REQUEST, {}, found(limits))
          if not reservation then break end
          passed = passed + 1
          task.sleep(math.random(1, 5))
          local usage = { input = 0, output = math.random(1, 1000) }
          worker.ledger.attempt(acme, { provider = "main", model = "big", purpose = "api", ms = 1, usage = usage, cost = reservation:settle(usage) })
        end
        tasks = tasks - 1
        if tasks == 0 then ended:give() end
      end)
    end
    ended:wait()
    for _, worker in ipairs(workers) do assert.is_true(worker.ledger.settle(3000)) end
    local spent = rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros
    assert.is_true(spent < 101000, "spent " .. spent)
    assert.is_true(spent > 60000, "spent " .. spent .. " of 100000 in " .. passed)
    assert.equal(spent, tonumber(rows("SELECT SUM(cost) AS n FROM ai_call")[1].n))
  end)

  it("that a worker holds and does not use is another's soon", function()
    local one, two, limits = worker_named("w1"), worker_named("w2"), day_limit(1500)
    local reservation = one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits))
    assert.is_truthy(two.budget.reserve(acme, TARGET, REQUEST, {}, found(limits)))
    assert.is_nil(two.budget.reserve(acme, TARGET, REQUEST, {}, found(limits)))
    reservation:settle(nil)
    task.sleep(2300)
    assert.is_truthy(two.budget.reserve(acme, TARGET, REQUEST, {}, found(limits)))
  end)

  it("that requests under way hold is waited for, as nothing of it may be spent in the end", function()
    local one, limits = worker_named("w1"), day_limit(900)
    local reservation, given = one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits)), promise.new()
    task.spawn(function() given:give(one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits))) end)
    task.sleep(300)
    assert.is_false(given:given())
    reservation:settle(nil)
    assert.is_truthy((given:wait()))
  end)

  it("is not overspent by many small requests with what one large one held beyond its end", function()
    local one, limits = worker_named("w1"), day_limit(5000)
    local large = one.budget.reserve(acme, TARGET, { messages = REQUEST.messages, max_tokens = 100000 }, {}, found(limits))
    large:settle{ input = 0, output = 10 }
    local passed = 0
    for _ = 1, 40 do
      local reservation = one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits))
      if not reservation then break end
      passed = passed + 1
      local usage = { input = 0, output = 1000 }
      one.ledger.attempt(acme, { provider = "main", model = "big", purpose = "api", ms = 1, usage = usage, cost = reservation:settle(usage) })
    end
    assert.equal(5, passed)
  end)

  it("of a worker that died is held for a minute and then free", function()
    local one, limits = worker_named("w1"), day_limit(1500)
    rows("INSERT INTO ai_share (owner, micros, ends_at) VALUES ('dead', 1500, UTC_TIMESTAMP(6) + INTERVAL 60 SECOND)")
    local _, err = one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits))
    assert.equal("held", err.code)
    rows("UPDATE ai_share SET ends_at = UTC_TIMESTAMP(6) WHERE owner = 'dead'")
    assert.is_truthy(one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits)))
  end)

  it("of the month holds when that of the day would let more through", function()
    local one = worker_named("w1")
    local limits = { currency = "USD", day_micros = 1e9, month_micros = 1000, warn_percent = 80 }
    assert.is_true(spend(one, limits, 1000):wait())
    local _, err = spend(one, limits, 1000)
    assert.equal("spent", err.code)
  end)

  it("lets no model through that has no price, or one in another currency, and without a budget any", function()
    local one = worker_named("w1")
    local _, err = one.budget.reserve(acme, TARGET, REQUEST, {}, { budget = day_limit(1e9), price = function() return nil end })
    assert.equal("no_price", err.code)
    _, err = one.budget.reserve(acme, TARGET, REQUEST, {}, found({ currency = "EUR", day_micros = 1e9 }))
    assert.equal("currency", err.code)
    local reservation = one.budget.reserve(acme, TARGET, REQUEST, {}, { budget = {}, price = function() return nil end })
    assert.same({ micros = 0 }, reservation:settle{ input = 5, output = 5 })
  end)

  it("is warned of once, and its end is told once", function()
    assert.equal(204, (function()
      world.token = operator
      return (world.ask("PUT", "/admin/ai/budgets/acme", { day = "0.01", warn_percent = 50 }))
    end)())
    local one = worker_named("w1")
    local limits = providers.of(acme).budget
    local function told()
      local list = {}
      for i, row in ipairs(rows("SELECT type FROM outbox WHERE type LIKE 'ai.budget%' ORDER BY id")) do list[i] = row.type end
      return list
    end
    for _ = 1, 4 do assert.is_true(spend(one, limits, 1000):wait()) end
    assert.same({}, told())
    for _ = 1, 4 do assert.is_true(spend(one, limits, 1000):wait()) end
    assert.same({ "ai.budget_warning" }, told())
    for _ = 1, 2 do assert.is_true(spend(one, limits, 1000):wait()) end
    assert.same({ "ai.budget_warning", "ai.budget_spent" }, told())
    world.token = admin
    local _, usage = world.ask("GET", "/ai/usage")
    assert.same({ "0.01", "0.01", 10 }, { usage.budget.day.spent, usage.budget.day.limit, usage.usage[1].requests })
    local _, by = world.ask("GET", "/ai/usage?by=provider")
    assert.equal("main", by.usage[1].of)
    world.token = operator
    world.ask("DELETE", "/admin/ai/budgets/acme")
  end)

  it("costs no question while the worker's share lasts", function()
    local one, limits = worker_named("w1"), day_limit(1e12)
    assert.is_truthy(one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits)))
    local query, asked = sql.transaction, 0
    sql.transaction = function(...)
      asked = asked + 1
      return query(...)
    end
    for _ = 1, 15 do assert.is_truthy(one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits))) end
    sql.transaction = query
    assert.equal(0, asked)
  end)

  -- A share was good for twenty requests, always: a worker with a thousand a second asked fifty times a second, each time before the eyes of all.
  it("was asked for every twenty requests, however busy the worker", function()
    local one, limits = worker_named("w1"), day_limit(1e12)
    local transaction, asked = sql.transaction, 0
    sql.transaction = function(...)
      asked = asked + 1
      return transaction(...)
    end
    for _ = 1, 1000 do assert.is_truthy(one.budget.reserve(acme, TARGET, REQUEST, {}, found(limits))) end
    sql.transaction = transaction
    assert.is_true(asked <= 8, asked .. " times")
  end)
end)
