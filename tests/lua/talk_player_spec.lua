-- SPDX-License-Identifier: Apache-2.0
--- Playing what a realtime model says: with a leg that notes what it is told.
local player = require "calls.talk.player"

local SECOND = ("\1\0"):rep(8000)

describe("the player of a realtime model's sound", function()
  local done, p, room, sent, settled, full, ids

  before_each(function()
    done, room, sent, settled, full, ids = {}, math.huge, {}, {}, {}, 0
    local leg = {}
    function leg.play_begin(_, id) done[#done + 1] = "begin " .. id return true end
    function leg.play_append(_, id, pcm)
      if #pcm > room then return nil, { code = "limit", text = "too much waits" } end
      done[#done + 1] = ("%d %d"):format(id, #pcm / 16)
      return 0
    end
    function leg.play_end(_, id) done[#done + 1] = "end " .. id end
    function leg.play_state(_, id) return sent[id] and { sent_ms = sent[id] } or nil end
    function leg.stop(_, id) done[#done + 1] = "stop " .. id end
    p = player.new{ leg = function() return leg end, next_id = function() ids = ids + 1 return ids end, now = function() return 0 end, mark = function() end,
      settled = function(number) settled[#settled + 1] = number end, full = function(number, ms) full = { number, ms } end }
  end)

  it("plays a reply as one sound, and each stretch around a tool by itself", function()
    p:text(1, "One ")
    p:audio(1, SECOND)
    p:audio(1, SECOND)
    p:pause(1)
    p:text(1, "two")
    p:audio(1, SECOND)
    p:over(1)
    assert.same({ "begin 1", "1 1000", "1 1000", "end 1", "begin 2", "2 1000", "end 2" }, done)
    p:on_media("played", 1, 2000)
    assert.same({}, settled)
    assert.is_true(p:is_busy())
    p:on_media("played", 2, 1000)
    assert.same({ 1 }, settled)
    assert.is_false(p:is_busy())
    assert.same({ "One two", true, "One two" }, { p:heard(1) })
  end)

  it("goes on a little before it was held, with what came meanwhile", function()
    p:audio(1, SECOND)
    sent[1] = 600
    p:hold()
    p:audio(1, SECOND)
    p:over(1)
    done = {}
    p:resume()
    assert.same({ "begin 2", "2 1600", "end 2" }, done)
    p:on_media("stopped", 1, 600)
    assert.is_true(p:is_busy())
    p:on_media("played", 2, 1600)
    assert.same({ 1 }, settled)
  end)

  it("that is cut off tells the first reply that was not heard out, and how much of it was", function()
    p:text(1, "One two three four.")
    p:audio(1, SECOND)
    p:over(1)
    p:text(2, "Five six.")
    p:audio(2, SECOND)
    sent[1], sent[2] = 500, 0
    assert.same({ 1, 440 }, { p:cut() })
    assert.same({ 1, 2 }, settled)
    assert.is_nil((p:cut()))
    p:audio(2, SECOND)
    assert.is_false(p:is_busy())
    assert.same({ "One two", false, "One two three four." }, { p:heard(1) })
    assert.same({ "", false, "Five six." }, { p:heard(2) })
  end)

  it("ends a reply that is longer than can wait", function()
    p:audio(1, SECOND)
    room = 100
    p:audio(1, SECOND)
    assert.same({ 1, 1000 }, full)
    p:audio(1, SECOND)
    p:on_media("played", 1, 1000)
    assert.same({ 1 }, settled)
  end)

  it("keeps no more than can wait while nothing is played", function()
    p:hold()
    for number = 1, 4 do
      for _ = 1, 40 do p:audio(number, SECOND) end
    end
    assert.same({ 4, 0 }, full)
    assert.equal(0, p.replies[4].parts[1].ms)
  end)

  it("goes on with so much of what it held as can wait, and tells how much that is", function()
    p:hold()
    for _ = 1, 25 do p:audio(1, SECOND) end
    p:over(1)
    p:audio(2, SECOND)
    room = 10000 * 16
    local taken = 0
    p.world.leg().play_append = function(_, _, pcm)
      if taken + #pcm > 200 * 1600 then return nil, { code = "limit", text = "too much waits" } end
      taken = taken + #pcm
      return 0
    end
    p:resume()
    assert.same({ 1, 20000 }, full)
    assert.equal(20000 * 16, taken)
    assert.same({ 2 }, settled)
    p:on_media("played", 1, 20000)
    assert.same({ 2, 1 }, settled)
  end)

  it("keeps only the last of the replies of which no more will be heard, and one that is still heard", function()
    p:text(1, "One two")
    p:audio(1, SECOND)
    for number = 2, 1000 do
      p:text(number, ("x"):rep(1000))
      p:over(number)
    end
    local kept = 0
    for _ in pairs(p.replies) do kept = kept + 1 end
    assert.is_true(kept <= 40, kept)
    assert.equal(1000, #select(3, p:heard(1000)))
    p:text(2, "late")
    p:audio(2, SECOND)
    p:pause(2)
    p:over(2)
    assert.equal("", (select(3, p:heard(2))))
    assert.equal(2, settled[#settled])  -- whoever asks whether it is, is told
    p:audio(1, SECOND)
    p:over(1)
    p:on_media("played", 1, 2000)
    assert.same({ "One two", true, "One two" }, { p:heard(1) })
    assert.is_false(p:is_busy())
  end)

  it("leaves the sound to whoever has the call next", function()
    p:audio(1, SECOND)
    done = {}
    p:close(true)
    assert.same({}, done)
    p:audio(1, SECOND)
    done = {}
    sent[2] = 0
    p:close()
    assert.same({ "stop 2" }, done)
  end)
end)
