-- SPDX-License-Identifier: Apache-2.0
--- The caller of a conversation that a realtime model leads, as our own voice detection has him. Times are given.
local caller = require "calls.talk.caller"

local function sound(ms, byte) return (byte or "\1"):rep(ms * 16) end

local function ms_of(list)
  local bytes = 0
  for _, pcm in ipairs(list) do bytes = bytes + #pcm end
  return bytes / 16
end

-- He speaks so long from that time on, and is silent.
local function spoken(from, ms)
  local he = caller.new()
  he:hears(sound(2000))
  he:voice(100, from + 100)
  he:hears(sound(ms))
  he:quiet(0, from + ms)
  return he
end

describe("a caller's sound that nobody has answered", function()
  it("begins a little before he was noticed, and ends a little behind him", function()
    local he = caller.new()
    for _ = 1, 100 do he:hears(sound(40, "\2")) end
    he:voice(60, 5000)
    he:hears(sound(1000, "\3"))
    he:quiet(0, 6000)
    he:hears(sound(400))
    he:quiet(1000, 7000)
    he:hears(sound(3000))
    local rest = he:unanswered(8000)
    assert.is_true(ms_of(rest.sound) >= 1000 + 400 + 450 and ms_of(rest.sound) <= 1000 + 400 + 500 + 40)
    assert.equal("\2", rest.sound[1]:sub(1, 1))
    assert.same({ 6000 - 4940 + 600, 600 }, { rest.voice_ms, rest.quiet_ms })
  end)

  it("is one with what he says behind a pause, and no more than can be told again", function()
    local he = spoken(1000, 500)
    he:voice(60, 2500)
    he:hears(sound(500))
    assert.equal(2500 - 1000, he:unanswered(2500).voice_ms)
    assert.is_nil(he:unanswered(2500).quiet_ms)
    for _ = 1, 40 do he:hears(sound(1000)) end
    assert.is_true(ms_of(he:unanswered(9000).sound) <= 20000)
  end)

  it("is gone when he is answered, unless he speaks just then, and when it was no speech", function()
    local he = spoken(1000, 500)
    he:answered()
    assert.same({}, he:unanswered(2000))
    he:voice(60, 3000)
    he:answered()
    assert.truthy(he:unanswered(3100).sound)
    he:quiet(0, 3500)
    he:quiet(9999, 13000, true)
    assert.truthy(he:unanswered(13000).sound)
    he:quiet(10000, 14000, true)
    assert.truthy(he:unanswered(14000).sound)
    he:quiet(10000, 14000, false)
    assert.same({}, he:unanswered(14000))
  end)
end)

describe("a caller's voice", function()
  it("is a false alarm when the provider hears nobody, and an answer is expected behind a long one, each once", function()
    local he = spoken(1000, 2000)
    assert.is_nil((he:quiet(500, 3500)))
    assert.equal("resume", he:quiet(650, 3650))
    assert.equal("expect", he:quiet(700, 3700))
    assert.is_nil((he:quiet(900, 3900)))
    he = spoken(1000, 2000)
    he.provider_hears = true
    assert.equal("expect", he:quiet(650, 3650))
    assert.is_true(he:is_speaking())
    he:quiet(10000, 13000)
    assert.is_false(he:is_speaking())
    assert.is_nil((caller.new():quiet(500, 500)))
  end)

  it("that is noise is none of his until there was quiet", function()
    local he = caller.new()
    he:voice(60, 1000)
    assert.is_true(he:is_speaking())
    he:is_noise()
    assert.is_false(he:is_speaking())
    he:voice(60, 2000)
    assert.is_false(he:is_speaking())
    he:quiet(0, 3000)
    he:voice(60, 4000)
    assert.is_true(he:is_speaking())
    assert.equal(60, he:voice(10, 4010))
  end)
end)
