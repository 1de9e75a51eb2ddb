-- SPDX-License-Identifier: Apache-2.0
--- The times of one turn, stage by stage.
local timeline = require "voice.timeline"

local STAGES = { "endpoint_ms", "model_ms", "chunk_ms", "voice_ms", "send_ms" }

local function of(marks)
  local t = timeline.new(1)
  for name, ms in pairs(marks) do t:mark(name, ms) end
  return t
end

local function sum(report)
  local total = 0
  for _, stage in ipairs(STAGES) do total = total + (report[stage] or 0) end
  return total
end

describe("a turn's timeline", function()
  it("tells each stage from the caller's last sound to our first packet", function()
    local t = of{ ended = 1000, final_text = 1200, committed = 1350, model_asked = 1352, first_token = 1700, voice_asked = 1790, first_audio = 1950, first_packet = 1968 }
    t:chose(350)
    local report = t:report()
    assert.same({ 350, 350, 90, 160, 18 }, { report.endpoint_ms, report.model_ms, report.chunk_ms, report.voice_ms, report.send_ms })
    assert.same({ 968, 968, 200 }, { report.gap_ms, sum(report), report.final_text_ms })
    -- 2 ms until the model was asked, 90 for the piece, 18 for the packet.
    assert.equal(110, report.own_ms)
  end)

  it("knows what is known by then", function()
    assert.same({ turn = 1, counts = {} }, timeline.new(1):report())
    assert.same({ turn = 1, counts = {}, endpoint_ms = 350 }, of{ ended = 1000, committed = 1350 }:report())
    assert.is_nil(of{ committed = 5, first_packet = 9 }:report().gap_ms)
  end)

  it("keeps what was told first", function()
    local t = timeline.new(1)
    t:mark("ended", 1000)
    t:mark("first_packet", 1500)
    t:mark("first_packet", 9000)
    assert.equal(500, t:report().gap_ms)
  end)

  it("counts nothing for a model that was asked early, and had answered before the turn's end", function()
    local report = of{ ended = 1000, model_asked = 1200, first_token = 1300, committed = 1600, voice_asked = 1610, first_audio = 1700, first_packet = 1710 }:report()
    assert.same({ 600, 0, 10, 90, 10 }, { report.endpoint_ms, report.model_ms, report.chunk_ms, report.voice_ms, report.send_ms })
    assert.equal(710, sum(report))
  end)

  it("has a stage whose mark is missing in the one behind it: a prepared sentence needs no model", function()
    local report = of{ ended = 1000, committed = 1300, first_packet = 1320 }:report()
    assert.same({ 300, nil, nil, nil, 20 }, { report.endpoint_ms, report.model_ms, report.chunk_ms, report.voice_ms, report.send_ms })
    assert.equal(320, sum(report))
  end)

  it("measures nothing twice, in whatever order it comes", function()
    local names = { "ended", "final_text", "committed", "model_asked", "first_token", "voice_asked", "first_audio", "first_packet" }
    for seed = 1, 500 do
      math.randomseed(seed)
      local t = timeline.new(seed)
      for _, name in ipairs(names) do
        if math.random(6) > 1 then t:mark(name, math.random(0, 3000)) end
      end
      if math.random(2) == 1 then t:chose(math.random(0, 1000)) end
      local report = t:report()
      for _, stage in ipairs(STAGES) do assert.is_true((report[stage] or 0) >= 0) end
      if report.gap_ms then
        assert.equal(report.gap_ms, sum(report), "seed " .. seed)
        assert.is_true(report.own_ms >= 0 and report.own_ms <= report.gap_ms, "seed " .. seed)
      end
    end
  end)

  it("begins again when the turn was taken back", function()
    local t = of{ ended = 1000, committed = 1350, first_token = 1500, voice_began = 1400 }
    t:chose(350)
    t:again()
    t:mark("ended", 3000)
    t:mark("committed", 3600)
    t:chose(600)
    t:mark("first_packet", 4000)
    local report = t:report()
    assert.same({ 600, 1000, 400, 1 }, { report.endpoint_ms, report.gap_ms, report.own_ms, report.counts.taken_back })
  end)

  it("tells how long a barge-in took, to the decision and to silence", function()
    local report = of{ voice_began = 5000, ducked = 5150, stopping = 5400, silent = 5440 }:report()
    assert.same({ 400, 40, 440 }, { report.barge_in_decision_ms, report.barge_in_stop_ms, report.barge_in_ms })
    assert.is_nil(of{ voice_began = 5000, silent = 4000 }:report().barge_in_ms)
  end)

  it("forgets a silence that came to nothing, but for its length", function()
    local t = of{ voice_began = 5000, stopping = 5060, silent = 5080 }
    t:resumed(5600)
    t:mark("voice_began", 9000)
    t:mark("stopping", 9060)
    local report = t:report()
    assert.same({ 540, 60, 1 }, { report.hushed_ms, report.barge_in_decision_ms, report.counts.false_alarm })
    assert.is_nil(report.barge_in_ms)
    t:resumed(9160)
    assert.equal(640, t:report().hushed_ms)
  end)

  it("refuses marks and counts that it does not know", function()
    local t = timeline.new(1)
    assert.has_error(function() t:mark("lunch", 1) end)
    assert.has_error(function() t:count("sheep") end)
  end)

  it("gives each figure to its histogram once, and only what is known", function()
    local seen = {}
    local function observe(name, seconds, help)
      assert.is_nil(seen[name])
      assert.is_string(help)
      seen[name] = seconds
    end
    timeline.observe(of{ ended = 1000, final_text = 1200, committed = 1350, first_packet = 1968, voice_began = 0, stopping = 400, silent = 440 }:report(), observe)
    assert.same({ voice_gap_seconds = 0.968, voice_own_seconds = 0.768, voice_final_text_seconds = 0.2, voice_endpoint_seconds = 0.35, voice_send_seconds = 0.618,
      voice_barge_in_decision_seconds = 0.4, voice_barge_in_stop_seconds = 0.04, voice_barge_in_seconds = 0.44 }, seen)
  end)
end)
