-- SPDX-License-Identifier: Apache-2.0
--- What tokens cost, which price holds when, and what a request can come to. No I/O.
require "stand_in"
local estimate = require "ai.estimate"
local prices = require "ai.prices"
local rules = require "ai.rules"

local target = { provider = "main", kind = "claude", model = "m" }

describe("a price", function()
  local function row(provider, from_us, input) return { provider = provider, model = "m", from_us = from_us, currency = "USD", input = input, output = 0 } end

  it("holds from its date on, until the next one's", function()
    local book = prices.book{ row("", 100, 1), row("", 300, 3), row("", 200, 2) }
    assert.is_nil(prices.of(book, nil, target, 99))
    assert.equal(1, prices.of(book, nil, target, 199).input)
    assert.equal(2, prices.of(book, nil, target, 200).input)
    assert.equal(3, prices.of(book, nil, target, 1e9).input)
  end)

  it("of the provider goes before that of every provider", function()
    local book = prices.book{ row("", 100, 1), row("main", 50, 7) }
    assert.equal(7, prices.of(book, nil, target, 1000).input)
    assert.equal(1, prices.of(book, nil, { provider = "other", kind = "claude", model = "m" }, 1000).input)
  end)

  it("comes from the operator's rules where there is no dated one, and from '*' for what they do not name", function()
    local list = { currency = "EUR", models = { m = { input = 3, output = 15, cached = 0.3 }, ["*"] = { input = 10, output = 30 } } }
    local found = prices.of({}, { list = list, hash = ("a"):rep(64) }, target, 1)
    assert.same({ 3000000, 15000000, 300000, "EUR" }, { found.input, found.output, found.cached, found.currency })
    assert.equal(10000000, prices.of({}, { list = list, hash = "b" }, { provider = "main", kind = "gemini", model = "x" }, 1).input)
  end)

  it("is nothing for what runs on one's own machines, unless there is one", function()
    local own = { provider = "mine", kind = "ollama", model = "m" }
    local list = { currency = "EUR", models = { ["*"] = { input = 10, output = 30 } } }
    assert.equal(0, prices.of({}, { list = list, hash = "b" }, own, 1).input)
    assert.equal(5, prices.of(prices.book{ row("mine", 0, 5) }, nil, own, 1).input)
    assert.is_nil(prices.of({}, nil, target, 1))
  end)

  -- A model of speech that only "*" had a price for, of tokens, cost nothing.
  it("of other units than a use has is none", function()
    local list = { currency = "USD", models = { tokens = { input = 3, output = 15 }, sound = { minute = 0.06 }, text = { characters = 50 },
      live = { input = 4, output = 16, audio_input = 32, audio_output = 64 }, ["*"] = { input = 10, output = 50, minute = 0.6 } } }
    local function of(model, purpose, kind) return prices.of({}, { list = list, hash = "b" }, { provider = "p", kind = kind or "deepgram", model = model, purpose = purpose }, 1) end
    assert.equal(60000, of("sound", "recognise").minute)
    assert.equal(600000, of("tokens", "recognise").minute)
    assert.equal(50e6, of("text", "synthesise").characters)
    assert.equal(64e6, of("live", "realtime").audio_output)
    assert.equal(600000, of("tokens", "realtime").minute)
    assert.equal(10e6, of("sound", "chat").input)
    list.models["*"] = { input = 10, output = 50 }
    assert.is_nil(of("tokens", "recognise"))
    assert.equal(0, prices.cost(of("tokens", "recognise", "whisper"), { seconds = 60 }))
    local dated = { provider = "", model = "sound", from_us = 0, currency = "USD", input = 0, output = 0, characters = 7 }
    assert.equal(60000, prices.of(prices.book{ dated }, { list = list, hash = "b" }, { provider = "p", kind = "deepgram", model = "sound", purpose = "recognise" }, 1).minute)
  end)
end)

describe("a use", function()
  local price = { currency = "USD", input = 3000000, output = 15000000, cached = 300000, written = 3750000, written_1h = 6000000 }

  it("costs each part of its input once", function()
    -- 1000 in all: 600 read, 100 written, 50 written for an hour, 250 plain
    assert.equal(600 * 0.3 + 100 * 3.75 + 50 * 6 + 250 * 3 + 20 * 15,
      prices.cost(price, { input = 1000, cached = 600, written = 100, written_1h = 50, output = 20 }))
  end)

  it("is rounded up to a whole micro, and only once", function()
    assert.equal(1, prices.cost({ input = 1, output = 1 }, { input = 1, output = 1 }))
    assert.equal(0, prices.cost({ input = 0, output = 0 }, { input = 1000, output = 1000 }))
  end)

  it("of speech costs its characters, its sound and its tokens of sound", function()
    local of_speech = { input = 4e6, output = 16e6, characters = 50e6, minute = 6000, audio_input = 32e6, audio_output = 64e6, audio_cached = 4e5 }
    assert.equal(12 * 50, prices.cost(of_speech, { characters = 12 }))
    assert.equal(150, prices.cost(of_speech, { seconds = 1.5 }))
    assert.equal(1, prices.cost(of_speech, { seconds = 0.001 }))
    assert.equal(10 * 4 + 600 * 32 + 400 * 0.4 + 50 * 64, prices.cost(of_speech, { input = 10, audio_input = 1000, audio_cached = 400, audio_output = 50 }))
    assert.equal(0, prices.cost({ input = 3e6, output = 3e6 }, { characters = 100, seconds = 100 }))
  end)

  it("whose parts are more than the whole costs no less than the whole read from the cache", function()
    assert.equal(3, prices.cost(price, { input = 10, cached = 5000, written = 5000, output = 0 }))
  end)

  it("of a long prompt costs what its tier says", function()
    local tiered = { input = 1000000, output = 1000000, tier = { input = 2000000, output = 3000000 }, above_tokens = 100 }
    assert.equal(100 + 1, prices.cost(tiered, { input = 100, output = 1 }))
    assert.equal(202 + 3, prices.cost(tiered, { input = 101, output = 1 }))
    assert.equal(202 + 3, prices.most(tiered, 101, 1))
  end)

  it("can never cost more than what was reserved for its tokens", function()
    for _ = 1, 2000 do
      local input, output = math.random(0, 5000), math.random(0, 500)
      local cached = math.random(0, input)
      local usage = { input = input, cached = cached, written = math.random(0, input - cached), output = output }
      assert.is_true(prices.cost(price, usage) <= prices.most(price, input, output))
    end
  end)
end)

describe("an estimate", function()
  it("is no less than the bytes of everything that is sent", function()
    local request = { system = ("s"):rep(100), messages = { { role = "user", text = ("ж"):rep(200) } },
      tools = { { name = "find", parameters = { type = "object", properties = { q = { type = "string" } } } } } }
    local most, likely = estimate.input(request)
    assert.is_true(most >= 500 and likely >= 125 and likely < most, most .. " " .. likely)
  end)

  it("takes the output from the request, then from the model", function()
    assert.equal(300, estimate.output({ max_tokens = 300 }, {}))
    assert.equal(777, estimate.output({}, { flags = { max_output_tokens = 777 } }))
    assert.equal(4096, estimate.output({}, { flags = { max_output_tokens = "many" } }))
    assert.equal(1, estimate.output({}, { flags = { max_output_tokens = -500, least_output_tokens = -500 } }))
    assert.equal(0, estimate.output({ texts = { "a" } }, {}))
  end)
end)

describe("of two budgets", function()
  it("the smaller figure of each holds", function()
    local both = rules.budget({ currency = "USD", day_micros = 5, requests_per_minute = 10 }, { currency = "USD", day_micros = 9, month_micros = 7, concurrent = 2 })
    assert.same({ 5, 7, 10, 2, 80 }, { both.day_micros, both.month_micros, both.requests_per_minute, both.concurrent, both.warn_percent })
  end)

  it("in two currencies the operator's counts, and it is said", function()
    local both = rules.budget({ currency = "USD", day_micros = 5 }, { currency = "EUR", day_micros = 1, concurrent = 2 })
    assert.same({ 5, "USD", true, 2 }, { both.day_micros, both.currency, both.mixed, both.concurrent })
    local own = rules.budget({ currency = "USD", concurrent = 9 }, { currency = "EUR", day_micros = 1 })
    assert.same({ 1, "EUR" }, { own.day_micros, own.currency })
  end)
end)

describe("a provider's URL", function()
  it("is a base URL without password and query", function()
    for _, url in ipairs{ "https://api.example.com/v1", "http://127.0.0.1:11434", "http://[::1]:8080/v1" } do assert.is_nil(rules.url_fault("claude", url), url) end
    for _, url in ipairs{ "", "ftp://x", "https://u:p@x/", "https://x/?key=1", "https://x/\r\nHost: y", "https://x y", "file:///etc/passwd" } do
      assert.is_string(rules.url_fault("claude", url), url)
    end
  end)

  it("is none for the local answerer", function()
    assert.is_nil(rules.url_fault("local", ""))
    assert.is_string(rules.url_fault("local", "https://x"))
  end)
end)

describe("a key", function()
  it("with a line break or a space is refused, for it goes into a header", function()
    assert.is_nil(rules.key_fault("sk-abc_123"))
    for _, key in ipairs{ "", "a b", "a\r\nX-Evil: 1", "a\n", "\195\164", ("k"):rep(4001) } do assert.is_string(rules.key_fault(key)) end
  end)
end)
