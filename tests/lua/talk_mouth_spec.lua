-- SPDX-License-Identifier: Apache-2.0
--- What speaks, with a leg and voices that are played: sound of several rates, and a reply that nobody wants any more while it is asked for.
local mouth = require "calls.talk.mouth"
local promise = require "lib.promise"
local task = require "core.task"

local RATE_SPOKEN = 20  -- ms of a sound

-- A voice that gives that many pieces of sound at a rate, then ends or breaks off.
local function voice(rate, pieces, ending)
  local given = 0
  return { cancelled = 0, next = function()
    given = given + 1
    if given <= pieces then return { type = "audio", pcm = ("\1\0"):rep(rate * RATE_SPOKEN / 1000), rate = rate } end
    return given == pieces + 1 and { type = ending or "end", class = "server", text = "broken" } or nil
  end, cancel = function(self) self.cancelled = self.cancelled + 1 end }
end

-- @param say function  (text) -> stream
local function new_world(say)
  local self = { said = {}, failed = {}, plays = {}, marks = {}, next = 0 }
  local leg = {
    play_begin = function(_, id, options)
      self.plays[id] = { rate = options.rate, bytes = 0 }
      return true
    end,
    play_append = function(_, id, sound) self.plays[id].bytes = self.plays[id].bytes + #sound end,
    play_end = function() end, stop = function() end, duck = function() end, play_state = function() end,
  }
  self.mouth = mouth.new{
    leg = function() return leg end, now = function() return 0 end, mark = function(_, name) self.marks[name] = true end, tell = function() end, done = function() end,
    next_id = function()
      self.next = self.next + 1
      return self.next
    end,
    say = function(text)
      self.said[#self.said + 1] = text
      return say(text, #self.said)
    end,
    failed = function(_, err) self.failed[#self.failed + 1] = err end,
  }
  self.leg = leg
  return self
end

local function speak(world, text)
  world.mouth:open(1)
  world.mouth:speak(1, { text })
  task.sleep(0)
end

local function played_ms(play) return play.bytes / 2 / play.rate * 1000 end

describe("a sentence", function()
  it("whose voice breaks off is heard to its end, though the next has another rate", function()
    for _, rates in ipairs{ { 24000, 22050 }, { 22050, 24000 }, { 24000, 16000 }, { 8000, 22050 } } do
      local world = new_world(function(_, n) return n == 1 and voice(rates[1], 50, "error") or voice(rates[2], 50) end)
      speak(world, "We are open from eight to six, and on Saturdays from nine until noon.")
      assert.equal(2, #world.said)
      assert.is_true(#world.said[2] < #world.said[1])
      assert.equal(1, #world.plays)
      local ms = played_ms(world.plays[1])
      assert.is_true(ms > 1980 and ms <= 2010, ("%d and %d: %g ms"):format(rates[1], rates[2], ms))
    end
  end)

  -- The next voice broke off too, and the words behind that were never said.
  it("whose next voice breaks off as well is gone on with by a third", function()
    local world = new_world(function(_, n) return voice(8000, n < 3 and 25 or 100, n < 3 and "error" or nil) end)
    speak(world, "We are open from eight to six, and on Saturdays from nine until noon.")
    assert.equal(3, #world.said)
    assert.is_true(#world.said[3] < #world.said[2] and #world.said[2] < #world.said[1])
    assert.equal(3000, played_ms(world.plays[1]))
    world = new_world(function() return voice(8000, 1, "error") end)
    speak(world, "We are open from eight to six, and on Saturdays from nine until noon.")
    assert.equal(4, #world.said)
  end)

  it("of a rate that no leg plays is made one that it does", function()
    local world = new_world(function() return voice(22050, 50) end)
    speak(world, "We are open.")
    assert.equal(8000, world.plays[1].rate)
    local ms = played_ms(world.plays[1])
    assert.is_true(ms > 980 and ms <= 1010, ms)
  end)

  it("that is dropped before its voice is there lets go of the voice", function()
    local wait, stream = promise.new(), voice(8000, 50)
    local world = new_world(function()
      wait:wait()
      return stream
    end)
    speak(world, "We are open.")
    world.mouth:drop(1)
    wait:give()
    task.sleep(0)
    assert.equal(1, stream.cancelled)
    assert.same({}, world.plays)
    assert.same({}, world.failed)
  end)
end)

describe("a reply that is stopped", function()
  -- What had not begun is told of at once, what is heard fades first.
  it("is silent when the last of it has ended", function()
    local world = new_world(function() return voice(8000, 50) end)
    world.leg.play_state = function(_, id) return { sent_ms = id == 1 and 300 or 0 } end
    world.mouth:open(1)
    world.mouth:speak(1, { "We are open.", "On Sundays we are closed." })
    task.sleep(0)
    assert.equal(2, #world.plays)
    world.mouth:stop(1)
    world.mouth:on_media("stopped", 2, 0)
    assert.is_nil(world.marks.silent)
    world.mouth:on_media("stopped", 1, 310)
    assert.is_true(world.marks.silent)
  end)

  it("goes on with the word in which it was broken off, as plays of their own", function()
    local world = new_world(function() return voice(8000, 50) end)
    world.leg.play_state = function() return { sent_ms = 900 } end
    speak(world, "We are open on Sundays.")
    world.mouth:stop(1)
    world.mouth:resume(1)
    task.sleep(0)
    assert.equal(2, #world.plays)
    local rest = played_ms(world.plays[2])
    assert.is_true(rest >= 100 and rest < 1000, rest)
    -- Resumed once: a second time there is nothing that waits.
    world.mouth:resume(1)
    assert.equal(2, #world.plays)
  end)
end)
