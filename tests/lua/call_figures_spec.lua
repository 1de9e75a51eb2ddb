-- SPDX-License-Identifier: Apache-2.0
--- Histograms of times, and the figures of calls and days that are made of them.
local figures = require "calls.figures"
local histogram = require "lib.histogram"
local json = require "core.json"

local function counted(list)
  local counts = {}
  for _, ms in ipairs(list) do histogram.add(counts, ms) end
  return counts
end

describe("a histogram of times", function()
  it("knows each percentile to within a twentieth, from a millisecond to a minute", function()
    math.randomseed(7)
    for _, widest in ipairs{ 1.5, 4, 10 } do
      local list = {}
      for i = 1, 2000 do list[i] = math.exp(math.random() * widest) * 1.3 end
      local counts = counted(list)
      table.sort(list)
      for _, share in ipairs{ 0.01, 0.5, 0.9, 0.99, 1 } do
        local found, true_one = histogram.percentile(counts, share), list[math.ceil(share * #list)]
        assert.is_true(math.abs(found / true_one - 1) < 0.05, ("%g of %g: %g for %g"):format(share, widest, found, true_one))
      end
    end
  end)

  it("is the same whether it was counted at once or in parts", function()
    local list = { 0, 0.4, 1, 3, 250, 251, 999, 1001, 64000, 1e9 }
    local merged = counted{ unpack(list, 1, 4) }
    histogram.merge(merged, counted{ unpack(list, 5) })
    assert.same(counted(list), merged)
    assert.same(merged, json.decode(json.encode(merged)))
  end)

  it("says nothing of nothing, and takes what is longer than all it knows for the longest", function()
    assert.is_nil(histogram.percentile({}, 0.5))
    assert.equal(1, (histogram.percentile(counted{ 0 }, 0.99)))
    assert.equal(histogram.percentile(counted{ 65000 }, 0.5), (histogram.percentile(counted{ 1e12 }, 0.5)))
  end)
end)

local function report(gap, fields)
  local made = { turn = 1, endpoint_ms = 500, final_text_ms = 300, model_ms = math.max(0, gap - 800), chunk_ms = 50, voice_ms = 230, send_ms = 20, gap_ms = gap, own_ms = 40, counts = {} }
  for name, value in pairs(fields or {}) do made[name] = value end
  return made
end

local SEEN = { received = 990, lost = 10, late = 0, lossPercent = 1, jitterMs = 4, concealedMs = 0, mos = 4.2 }

local function day_of(list)
  local all = figures.new()
  for _, one in ipairs(list) do figures.merge(all, json.decode(json.encode(one))) end
  return all
end

local function call_of(reports, seen)
  local all = figures.new()
  for _, one in ipairs(reports) do figures.turn(all, one) end
  return figures.call(all, seen)
end

describe("figures of calls", function()
  it("count turns, and those that took longer than a second", function()
    local shown = figures.shown(day_of{ call_of({ report(900), report(1000), report(1001) }), call_of{ report(2000, { barge_in_ms = 180 }) }, figures.call(nil, SEEN) })
    assert.same({ 3, 4, 50, 2000 }, { shown.calls, shown.turns, shown.slowPercent, shown.longestGap })
    assert.is_true(math.abs(shown.gap.p99 / 2000 - 1) < 0.1 and math.abs(shown.gap.p50 / 1000 - 1) < 0.1)
    assert.is_true(math.abs(shown.bargeIn.p50 / 180 - 1) < 0.1)
    assert.is_true(math.abs(shown.own.p90 / 40 - 1) < 0.1 and math.abs(shown.finalText.p50 / 300 - 1) < 0.1 and math.abs(shown.firstAudio.p50 / 280 - 1) < 0.1)
    assert.same({ 1, 990, 10, 1, 4.2, 4.2 }, { shown.audio.calls, shown.audio.received, shown.audio.lost, shown.audio.lossPercent, shown.audio.mos, shown.audio.mosLeast })
  end)

  it("say of what the turns around a percentile were made: parts that are it together", function()
    local reports = {}
    for i = 1, 98 do reports[i] = report(850) end
    reports[99], reports[100] = report(4000), report(4000)
    local shown = figures.shown(day_of{ call_of(reports) })
    assert.is_true(shown.stages.p50.firstToken < 100 and shown.stages.p99.firstToken > 2500)
    for _, at in ipairs{ "p50", "p99" } do
      local sum = 0
      for _, part in pairs(shown.stages[at]) do sum = sum + part end
      assert.is_true(math.abs(sum - shown.gap[at]) <= 3)
    end
    assert.is_true(shown.stages.p50.finalText > shown.stages.p50.endOfTurn)
  end)

  it("take no greeting for a turn, though it was interrupted", function()
    local shown = figures.shown(day_of{ call_of{ { turn = 0, counts = {}, barge_in_ms = 200 } } })
    assert.same({ 1, 0, json.null, json.null, json.null }, { shown.calls, shown.turns, shown.gap, shown.slowPercent, shown.stages })
    assert.is_true(shown.bargeIn.p50 > 180)
  end)

  it("are as large after ten thousand turns as after some", function()
    local all = figures.new()
    for i = 1, 10000 do figures.turn(all, report(800 + i)) end
    assert.is_true(#json.encode(all) < 4000, #json.encode(all))
  end)

  it("are read as they were kept", function()
    for _, one in ipairs{ call_of({ report(900), report(40000) }, SEEN), call_of({}, SEEN), call_of{ report(0.5) }, call_of{}, call_of{ { turn = 0, counts = {}, barge_in_ms = 200 } } } do
      assert.same(json.decode(json.encode(one)), figures.read(json.encode(one)))
    end
  end)

  it("are not read when they could not be added up and shown, and it is said why", function()
    local function damaged(change)
      local one = json.decode(json.encode(call_of({ report(900), report(1400) }, SEEN)))
      change(one)
      return json.encode(one)
    end
    local function set(name, value) return damaged(function(one) one[name] = value end) end
    local texts = {
      "", "{", "[]", "{}", "7", "null", "false", '"figures"',
      set("turns", nil), set("turns", "2"), set("slow", {}), set("longest", json.null), set("calls", true), set("received", nil), set("mos", "good"), set("lost", 1e300),
      set("turns", -5), set("slow", -1), set("longest", -1), set("calls", -100), set("heard", -1), set("received", -1), set("lost", -1), set("mos", -1), set("mos_least", -1),
      set("times", nil), set("times", 1), set("times", { gap = 7 }), set("times", {}), set("made", nil), set("made", {}), set("made", { ["79"] = 1 }),
      damaged(function(one) one.times.gap.x = 1 end), damaged(function(one) one.times.gap["129"] = 1 end), damaged(function(one) one.times.own["40"] = 0 end),
      damaged(function(one) one.times.own["40"] = -3 end), damaged(function(one) one.times.own["40"] = 1.5 end), damaged(function(one) one.times.jitter["4"] = "1" end),
      damaged(function(one) one.made[next(one.made)][1] = -1 end), damaged(function(one) one.made[next(one.made)][5] = 2 ^ 53 end),
      damaged(function(one) one.made[next(one.made)][3] = nil end), damaged(function(one) one.made[next(one.made)] = nil end),
    }
    for _, text in ipairs(texts) do
      local none, why = figures.read(text)
      assert.is_nil(none, text)
      assert.equal("string", type(why), text)
    end
  end)

  it("mean of calls whose audio came, and the worst of them", function()
    local shown = figures.shown(day_of{ call_of({}, SEEN), call_of({}, { received = 10, lost = 0, jitterMs = 80, mos = 2.2 }), call_of{} })
    assert.same({ 3, 2, 3.2, 2.2 }, { shown.calls, shown.audio.calls, shown.audio.mos, shown.audio.mosLeast })
    assert.equal(json.null, figures.shown(day_of{ call_of{} }).audio)
  end)
end)
