-- SPDX-License-Identifier: Apache-2.0
--- The cache of answers: in the host with a real Redis. Its parts without I/O need none.
require "stand_in"
local canonical = require "ai.canonical"
local json = require "core.json"
local nearest = require "ai.nearest"

local function request(text, more)
  local made = { system = "You sell roofs.", messages = { { role = "user", text = text } } }
  for name, value in pairs(more or {}) do made[name] = value end
  return made
end

describe("a request as text", function()
  it("is the same in any order of names, with any line ends and outer space", function()
    local a = request("What is it?\r\n", { tools = { { name = "f", parameters = { type = "object", properties = { a = { type = "string" } } } } } })
    local b = request("  What is it?", { tools = { { parameters = { properties = { a = { type = "string" } }, type = "object" }, name = "f" } } })
    assert.equal(canonical.request(a), canonical.request(b))
  end)

  it("differs where the answer may", function()
    local seen = {}
    for _, one in ipairs{ request "a", request "b", request("a", { temperature = 0 }), request("a", { temperature = 0.1 }), request("a", { max_tokens = 5 }),
      request("a", { system = "" }), request("a", { schema = { name = "x" } }), request("a", { stop = { "x" } }),
      { system = "You sell roofs.", messages = { { role = "user", text = "a" }, { role = "assistant", text = "" } } },
      { system = "You sell roofs.a", messages = { { role = "user", text = "" } } } } do
      local text = canonical.request(one)
      assert.is_nil(seen[text])
      seen[text] = true
    end
    assert.equal(canonical.request(request("a", { cache_key = "1", prompt_cache = true })), canonical.request(request "a"))
  end)

  it("cannot be made to look like another by what stands in it", function()
    assert.are_not.equal(canonical.text{ "1:a", "b" }, canonical.text{ "1", "a1:b" })
    assert.are_not.equal(canonical.text{ a = "b", c = "d" }, canonical.text{ a = "b1:c1:d" })
    assert.are_not.equal(canonical.text{ "1" }, canonical.text{ 1 })
  end)

  it("of endless depth is refused", function()
    local deep = {}
    for _ = 1, 100 do deep = { deep } end
    assert.is_false(pcall(canonical.text, deep))
  end)
end)

describe("a policy of the cache that nobody can read", function()
  it("is as none, and does not end the answer", function()
    local settings = require("ai.cache").settings
    local usual = settings{ purpose = "call" }
    for _, policy in ipairs{ { cache = { semantic = true, exact = "no", ttl_s = {} } }, { cache = 7 }, "cost" } do
      assert.same(usual, settings{ purpose = "call", policy = policy })
    end
  end)
end)

describe("the nearest question", function()
  local acme, other = { id = 1 }, { id = 2 }
  before_each(function() nearest.forget() end)

  it("is found above the threshold, best first, in its own context and tenant only, until its time is over", function()
    nearest.keep(acme, "c", "how much", { 1, 0.1 }, "far", 1000)
    nearest.keep(acme, "c", "what price", { 1, 0.01 }, "near", 1000)
    assert.equal("near", (nearest.find(acme, "c", "which price", { 2, 0 }, 0.9, 0)))
    assert.is_nil(nearest.find(acme, "c", "which price", { 0, 1 }, 0.9, 0))
    assert.is_nil(nearest.find(acme, "d", "which price", { 1, 0 }, 0.9, 0))
    assert.is_nil(nearest.find(other, "c", "which price", { 1, 0 }, 0.9, 0))
    assert.is_nil(nearest.find(acme, "c", "which price", { 1, 0 }, 0.9, 1000))
    assert.same({ 0, 0 }, { nearest.held(acme) })
  end)

  it("has the same numbers in it", function()
    nearest.keep(acme, "c", "what costs 5 kW", { 1, 0 }, "five", 1000)
    assert.is_nil(nearest.find(acme, "c", "what costs 7 kW", { 1, 0 }, 0.9, 0))
    assert.equal("five", (nearest.find(acme, "c", "price of 5 kW", { 1, 0 }, 0.9, 0)))
  end)

  it("is not found by vectors that are none", function()
    for _, vector in ipairs{ {}, { 0, 0 }, { 0 / 0, 1 }, { 1 / 0, 1 }, { "1", 1 }, "x", { 1e300, 1 } } do
      assert.is_false(nearest.keep(acme, "c", "q", vector, "a", 1000))
      assert.is_nil(nearest.find(acme, "c", "q", vector, 0, 0))
    end
    nearest.keep(acme, "c", "q", { 1, 0, 0 }, "a", 1000)
    assert.is_nil(nearest.find(acme, "c", "q", { 1, 0 }, 0, 0))
  end)

  it("leaves room for others: a tenant's oldest go first, and nobody takes more than there is", function()
    local vector = {}
    for i = 1, 4096 do vector[i] = i end
    for i = 1, 200 do nearest.keep(acme, "c", "q", vector, i, 1000) end
    local _, mine = nearest.held(acme)
    assert.is_true(mine <= nearest.MOST_OF_TENANT and mine > nearest.MOST_OF_TENANT - 4096)
    for id = 2, 9 do
      for _ = 1, 128 do nearest.keep({ id = id }, "c", "q", vector, "a", 1000) end
    end
    assert.is_true(nearest.held(acme) <= nearest.MOST_NUMBERS)
    assert.is_nil(nearest.find(acme, "c", "q", vector, 0.9, 0))  -- who asked longest ago
    nearest.forget()
  end)
end)

local world = require "data_world"
if not world then return end

local cache = require "ai.cache"
local clock = require "core.clock"
local flights = require "ai.flights"
local promise = require "lib.promise"
local redis = require "core.redis"
local task = require "core.task"

describe("the cache", function()
  setup(function()
    while not redis.call("PING") do task.sleep(10) end
  end)

  local number = 0
  local acme, globex
  local function tenant()
    number = number + 1
    return { id = 900000 + number + clock.wall_us() % 1000000 * 1000, slug = "t" .. number, key = ("k"):rep(31) .. string.char(number) }
  end
  before_each(function() acme, globex = tenant(), tenant() end)

  local function answers(text, more)
    local asked = { n = 0 }
    return function()
      asked.n = asked.n + 1
      local made = { text = text, reason = "end", tool_calls = json.array{}, provider = "p", model = "m", cost = { micros = 5, currency = "EUR" },
        usage = { input = 9, output = 9 }, attempts = {} }
      for name, value in pairs(more or {}) do made[name] = value end
      return made
    end, asked
  end

  local CALL = { purpose = "call" }

  it("answers the same request once, and the second time for nothing", function()
    local ask, asked = answers "Hello."
    local first = cache.through(acme, request "Hi", CALL, ask)
    local second = cache.through(acme, request " Hi ", CALL, ask)
    assert.same({ "miss", "hit", 1 }, { first.cache, second.cache, asked.n })
    assert.same({ "Hello.", 0, "EUR", 0, "m" }, { second.text, second.cost.micros, second.cost.currency, second.usage.input, second.model })
  end)

  it("is sealed in Redis under the tenant's key", function()
    cache.through(acme, request "Hi", CALL, (answers "Quince jelly."))
    local found = redis.call("KEYS", "*ai:answer:" .. acme.id .. ":*")
    assert.equal(1, #found)
    assert.is_nil(redis.call("GET", found[1]):find("Quince", 1, true))
    redis.call("SET", found[1], "damaged", "EX", 60)
    assert.equal("miss", cache.through(acme, request "Hi", CALL, (answers "Again.")).cache)
  end)

  it("is never another tenant's, another knowledge base's or another model's", function()
    local ask, asked = answers "Hello."
    cache.through(acme, request "Hi", { purpose = "call", kb_version = "1" }, ask)
    cache.through(globex, request "Hi", { purpose = "call", kb_version = "1" }, ask)
    cache.through(acme, request "Hi", { purpose = "call", kb_version = "2" }, ask)
    cache.through(acme, request "Hi", { purpose = "call", kb_version = "1", model = "x" }, ask)
    assert.equal(4, asked.n)
  end)

  it("keeps no failures, tool calls, cut answers, and nothing personal", function()
    for _, case in ipairs{
      { more = { tool_calls = { { id = "1", name = "f", arguments = "{}" } } } }, { more = { reason = "length" } }, { more = { degraded = "local" } }, { text = " " },
      { more = { findings = { { kind = "unsupported" } } } },
      { options = { purpose = "call", personal = true } }, { options = { purpose = "api" } }, { options = { purpose = "call", policy = { cache = { exact = false } } } },
      { request = { messages = { { role = "user", text = "a" }, { role = "tool", text = "b", tool_call_id = "1" } } } }, { request = { messages = {} } },
    } do
      local ask, asked = answers(case.text or "Hello.", case.more)
      local one = case.request or request "Hi"
      cache.through(acme, one, case.options or CALL, ask)
      cache.through(acme, one, case.options or CALL, ask)
      assert.equal(2, asked.n)
    end
    local answer, err = cache.through(acme, request "Hi", CALL, function() return nil, { class = "server" } end)
    assert.same({ nil, "server" }, { answer, err.class })
  end)

  it("gives a stale answer only to who asks for one", function()
    local options = { purpose = "call", policy = { cache = { ttl_s = 1 } } }
    cache.through(acme, request "Hi", options, (answers "Old."))
    task.sleep(2100)
    assert.is_nil((cache.get(acme, request "Hi", options)))
    local answer = cache.stale(acme, request "Hi", options)
    assert.same({ "Old.", "cache", "hit" }, { answer.text, answer.degraded, answer.cache })
    assert.is_nil(cache.stale(globex, request "Hi", options))
  end)

  it("finds by meaning only where the policy says so", function()
    local options = { purpose = "call", policy = { cache = { exact = false, semantic = { threshold = 0.9 } } }, embed = function(text) return { #text, 0.01 } end }
    local ask, asked = answers "Nine."
    assert.equal("miss", cache.through(acme, request "When do you open?", options, ask).cache)
    assert.equal("hit", cache.through(acme, request "At what time do you open?", options, ask).cache)
    assert.equal("miss", cache.through(globex, request "At what time do you open?", options, ask).cache)
    assert.equal("miss", cache.through(acme, request("At what time do you open?", { system = "You sell cars." }), options, ask).cache)
    assert.equal(3, asked.n)
    options.policy.cache.semantic = nil
    cache.through(acme, request "When do you open?", options, ask)
    assert.equal(4, asked.n)
  end)

  it("asks once for the same request under way, and each gets an answer of his own", function()
    local goes, ask, asked = promise.new(), answers "Hello."
    local results, all = {}, promise.new()
    for i = 1, 5 do
      task.spawn(function()
        results[i] = cache.through(acme, request "Hi", CALL, function() goes:wait() return ask() end)
        if results[1] and results[2] and results[3] and results[4] and results[5] then all:give() end
      end)
    end
    task.sleep(20)
    goes:give()
    all:wait()
    assert.equal(1, asked.n)
    results[1].text = "changed"
    assert.equal("Hello.", results[5].text)
    assert.equal(0, results[2].cost.micros + results[3].cost.micros + results[4].cost.micros + results[5].cost.micros)
  end)

  it("goes on for the others when the one who asked has hung up", function()
    local goes, n, got = promise.new(), 0, promise.new()
    local function ask()
      n = n + 1
      if n == 1 then
        goes:wait()
        return nil, { class = "cancelled" }
      end
      return (answers "Hello.")()
    end
    task.spawn(function() cache.through(acme, request "Hi", CALL, ask) end)
    task.spawn(function() got:give((cache.through(acme, request "Hi", CALL, ask))) end)
    task.sleep(20)
    goes:give()
    assert.equal("Hello.", got:wait().text)
    assert.equal(2, n)
  end)

  it("is no reason to wait longer than one has time, nor after one has hung up", function()
    local goes, cancel = promise.new(), promise.new()
    local function slow() goes:wait() return nil, { class = "server" } end
    task.spawn(function() flights.join("k", slow) end)
    local _, err = flights.join("k", slow, { wait_ms = 20 })
    assert.equal("timeout", err.class)
    task.spawn(function() task.sleep(10) cancel:give() end)
    _, err = flights.join("k", slow, { cancel = cancel, wait_ms = 5000 })
    assert.equal("cancelled", err.class)
    goes:give()
  end)

  it("lets the next one ask where asking raised, and raises in nobody else", function()
    local goes, got = promise.new(), promise.new()
    task.spawn(function() pcall(flights.join, "r", function() goes:wait() error("boom", 0) end) end)
    task.spawn(function() got:give(flights.join("r", function() return "fine" end, { alone = function(err) return type(err) ~= "table" end })) end)
    task.sleep(10)
    goes:give()
    assert.equal("fine", (got:wait()))
  end)

  it("is told again as a stream would have been", function()
    local events = {}
    cache.through(acme, request "Hi", CALL, (answers "Hello."))
    cache.replay(cache.get(acme, request "Hi", CALL), function(event) events[#events + 1] = event.type end)
    assert.same({ "start", "text", "usage", "end" }, events)
  end)
end)
