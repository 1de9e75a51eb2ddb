-- SPDX-License-Identifier: Apache-2.0
--- What realtime sessions are paid for: answer by answer, by an account that is played here.
local clock = require "core.clock"
local log = require "core.log"
local meter = require "speech.realtime_meter"
local promise = require "lib.promise"
local realtime_usage = require "speech.realtime_usage"

describe("the usage of a realtime answer", function()
  it("has text and sound apart, and no part that is more than its sum", function()
    assert.same({ input = 40, cached = 10, output = 10, audio_input = 60, audio_cached = 20, audio_output = 40 },
      realtime_usage.of({ input = 100, cached = 30, output = 50 }, { input = 60, cached = 20, output = 40 }))
    assert.same({ input = 0, cached = 0, output = 0, audio_input = 10, audio_cached = 10, audio_output = 5 },
      realtime_usage.of({ input = 10, cached = 90, output = 5 }, { input = 600, cached = 200, output = 400 }))
    assert.same({ input = 0, cached = 0, output = 0, audio_input = 0, audio_cached = 0, audio_output = 0 }, realtime_usage.of({}, {}))
  end)

  it("is added up, whatever each has", function()
    assert.same({ input = 3, output = 1, audio_input = 4 }, realtime_usage.sum({ input = 1, output = 1 }, { input = 2, audio_input = 4 }))
    assert.same({ input = 1 }, realtime_usage.sum(nil, { input = 1 }))
  end)
end)

describe("a connection with a realtime model", function()
  local uses, price, refusal, gate

  -- An account whose uses are kept: { most, goes_on, units, failure, dropped, passed }.
  local function account()
    return { found = { price = function() return price end }, begin = function(_, target, most, goes_on)
      if gate then gate:wait() end
      if refusal then return nil, refusal end
      local use = { target = target, most = most, goes_on = goes_on }
      function use.done(_, units, failure) use.units, use.failure, use.over = units, failure, true end
      function use.drop() use.dropped = true end
      function use.pass(_, other) use.passed = other end
      uses[#uses + 1] = use
      return use
    end }
  end

  local function begun()
    local try = { owner = { account = account() }, target = { provider = "p", model = "live", purpose = "realtime" } }
    return assert(meter.begin(try)), try
  end

  before_each(function()
    uses, price, refusal, gate = {}, { audio_input = 1, audio_output = 1 }, nil, nil
  end)

  it("is paid for answer by answer, and is one request of the limits", function()
    local paid = begun()
    assert.is_true(uses[1].most.audio_output > 0)
    assert.is_nil(uses[1].goes_on)
    paid:used{ input = 5, audio_output = 7 }
    assert.same({ input = 5, audio_output = 7 }, uses[1].units)
    assert.equal(uses[2], uses[1].passed)
    assert.is_true(uses[2].goes_on)
    paid:used{ input = 1 }
    paid:over(nil)
    assert.same({ input = 1 }, uses[2].units)
    assert.is_true(uses[3].dropped)
    assert.is_nil(uses[3].over)
  end)

  it("has what is told while the budget is asked paid with that", function()
    local paid = begun()
    gate = promise.new()
    paid:used{ input = 1 }
    paid:used{ input = 2 }
    assert.is_nil(uses[1].over)
    gate:give()
    assert.same({ input = 3 }, uses[1].units)
    assert.equal(2, #uses)
  end)

  it("that ends while the budget is asked pays what it used, and begins nothing more", function()
    local paid = begun()
    gate = promise.new()
    paid:used{ input = 1 }
    paid:over{ class = "network" }
    gate:give()
    assert.same({ input = 1 }, uses[1].units)
    assert.equal("network", uses[1].failure.class)
    assert.is_true(uses[2].dropped)
  end)

  it("is told when the budget has ended, once", function()
    local paid = begun()
    local told = 0
    paid.on_refused = function(failure)
      told = told + 1
      assert.equal("budget", failure.class)
    end
    refusal = { class = "budget", ours = true }
    paid:used{ input = 1 }
    paid:used{ input = 2 }
    assert.equal(1, told)
    paid:over(refusal)
    assert.same({ input = 3 }, uses[1].units)
    refusal = { class = "budget" }
    assert.is_nil((meter.begin{ owner = { account = account() }, target = {} }))
  end)

  describe("whose price is of minutes", function()
    local now, real

    before_each(function()
      now, real = 1000, clock.mono_ms
      clock.mono_ms = function() return now end
      price = { minute = 60 }
    end)
    after_each(function() clock.mono_ms = real end)

    -- Twice a second, as speech.realtime_link tells it.
    local function pass(paid, seconds)
      for _ = 1, seconds * 2 do
        now = now + 500
        paid:passed()
      end
    end

    it("is paid for the time that it lasts, and not for answers", function()
      local paid = begun()
      assert.same({ seconds = 60 }, uses[1].most)
      pass(paid, 3)
      paid:used{ input = 5 }
      paid:rest{ input = 5 }
      now = now + 250
      paid:over(nil)
      assert.same({ { seconds = 3.25 }, 1 }, { uses[1].units, #uses })
    end)

    -- It was paid when an answer ended: of a caller who listened to music for an hour one minute was held, and all of it was lost with its worker.
    it("is paid minute by minute though nothing is answered, each of them held before it begins", function()
      local paid = begun()
      pass(paid, 49.5)
      assert.equal(1, #uses)
      pass(paid, 0.5)
      assert.same({ 2, { seconds = 60 }, true }, { #uses, uses[2].most, uses[2].goes_on })
      assert.is_nil(uses[1].over)
      pass(paid, 10)
      assert.same({ seconds = 60 }, uses[1].units)
      assert.equal(uses[2], uses[1].passed)
      pass(paid, 3600 - 60 + 30)
      paid:over(nil)
      local seconds = 0
      for _, use in ipairs(uses) do seconds = seconds + use.units.seconds end
      assert.same({ 61, 30, 3630 }, { #uses, uses[61].units.seconds, seconds })
    end)

    it("ends with the budget, before the minute that is not paid", function()
      local paid = begun()
      local told = {}
      paid.on_refused = function(failure) told[#told + 1] = failure.class end
      pass(paid, 60)
      refusal = { class = "budget", text = "it is spent", ours = true }
      pass(paid, 50)
      assert.same({ "budget" }, told)
      pass(paid, 5)
      paid:over(refusal)
      assert.same({ { "budget" }, { seconds = 55 }, "budget" }, { told, uses[2].units, uses[2].failure.class })
      assert.equal(2, #uses)
    end)

    it("is not begun where the first one may not be paid for", function()
      refusal = { class = "budget", text = "it is spent", ours = true }
      local paid, failure = meter.begin{ owner = { account = account() }, target = {} }
      assert.same({ nil, "budget" }, { paid, failure.class })
    end)
  end)

  it("pays who wrote down what was said as a recogniser", function()
    local paid = begun()
    paid:transcribed{ model = "scribe", seconds = 2.5 }
    paid:transcribed{ model = "scribe", seconds = 0 }
    assert.same({ "p", "scribe", "recognise", 2.5 }, { uses[2].target.provider, uses[2].target.model, uses[2].target.purpose, uses[2].units.seconds })
    assert.equal(2, #uses)
    refusal = { class = "budget", text = "it has no price" }
    local warn, told = log.warn, 0
    log.warn = function() told = told + 1 end
    for _ = 1, 5 do paid:transcribed{ model = "scribe", seconds = 1 } end
    log.warn = warn
    assert.equal(1, told)  -- and not for each sentence
    paid:over(nil)
  end)

  it("pays what is written down while the budget is asked for that together, though it ends meanwhile", function()
    local paid = begun()
    gate = promise.new()
    paid:transcribed{ model = "scribe", seconds = 1 }
    for _ = 1, 100 do paid:transcribed{ model = "scribe", seconds = 2 } end
    paid:over(nil)
    gate:give()
    local told = {}
    for _, use in ipairs(uses) do told[#told + 1] = use.target.purpose == "recognise" and use.units.seconds or nil end
    assert.same({ 1, 200 }, told)
  end)

  it("costs nobody anything without an account", function()
    local paid = assert(meter.begin{ owner = {}, target = {} })
    paid:used{ input = 1 }
    paid:transcribed{ model = "scribe", seconds = 1 }
    paid:over(nil)
  end)
end)
