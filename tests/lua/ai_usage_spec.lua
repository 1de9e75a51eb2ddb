-- SPDX-License-Identifier: Apache-2.0
--- What a provider says it has used, and nobody can have.
local money = require "ai_money_world"
if not money then
  describe("ai usage", function() pending("needs the host with a database") end)
  return
end
local admission = require "ai.admission"
local clock = require "core.clock"
local log = require "core.log"
local plausible = require "ai.ledger.plausible"

local acme, rows, spend = nil, money.rows, money.spend
local warn_log, said = log.warn, {}

local function count(text) return rows("SELECT COUNT(*) AS n FROM " .. text)[1].n end

setup(function()
  money.begin()
  acme = money.acme
end)

teardown(money.finish)

before_each(function()
  money.clean()
  said = {}
  log.warn = function(event, fields) said[event] = fields end
end)

after_each(function() log.warn = warn_log end)

describe("a provider that claims more tokens than a request can have used", function()
  local function ask(usage)
    local turn = { tenant = acme, found = money.found(money.day_limit(1e12)), request = money.REQUEST, purpose = "api", policy = { wait_most_ms = 0, first_token_ms = 0 },
      deadline = clock.mono_ms() + 1000, answer_key = require("ai.ledger").key(), options = {}, count = 0 }
    local leave = assert(admission.enter(turn)(money.TARGET, true))
    local outcome = { spoke = true, said = ("word"):rep(10), tool_calls = {}, usage = usage, ms = 5 }
    return leave(outcome), outcome
  end

  it("is paid by the estimate, and it is told", function()
    for _ = 1, 9 do
      local cost, outcome = ask{ input = 9e15, cached = 0, written = 0, output = 9e15 }
      assert.same({ 10, 10 }, { cost.micros, outcome.usage.output })
    end
    assert.is_true(require("ai.ledger").settle(2000))
    assert.equal(9, count"ai_call WHERE estimated = 1 AND cost = 10 AND output_tokens = 10")
    assert.equal(90, rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros)
    assert.same({ "main", 9e15 }, { said["ai.usage_not_plausible"].provider, said["ai.usage_not_plausible"].output })
  end)

  it("is believed where it can be", function()
    local request, target = { messages = { { role = "user", text = ("a"):rep(300000) } }, max_tokens = 100000 }, money.TARGET
    for _, case in ipairs{ { 60000, 60000, true }, { 300000, 200000, true }, { 400000, 0, false }, { 0, 300000, false } } do
      assert.equal(case[3], plausible({ input = case[1], output = case[2] }, request, target))
    end
    request.extras = { gemini = { cachedContent = "cachedContents/x" } }
    assert.is_true(plausible({ input = 2000000, output = 0 }, request, target))
    assert.is_true(plausible({ input = 3000, output = 0 }, { texts = { "a" } }, target))
    assert.is_false(plausible({ input = 9e15, output = 0 }, { texts = { "a" } }, target))
  end)

  it("had the sum of nine of them out of range, and nothing of the tenant was written any more", function()
    local one = money.worker("w1")
    for _ = 1, 9 do spend(one, {}, 2 ^ 53) end
    assert.is_true(one.ledger.settle(1000))
    assert.equal(9, count"ai_call")
    for _ = 1, 3 do
      rows("UPDATE ai_spend SET micros = 8999999999999999")
      assert.is_true(spend(one, {}, 2 ^ 53):wait())
    end
    assert.equal(9000000000000000, rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros)
  end)
end)
