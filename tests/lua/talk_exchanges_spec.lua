-- SPDX-License-Identifier: Apache-2.0
--- Who said what, and in answer to what, whatever a provider tells of it.
local exchanges = require "calls.talk.exchanges"

local function new()
  local given = {}
  return exchanges.new{ line = function() return {} end, over = function(exchange) given[#given + 1] = exchange end }, given
end

describe("what a provider tells of a caller", function()
  it("is no more than can be told of, though he is heard without end and nothing is answered", function()
    local all, given = new()
    for turn = 1, 20000 do
      all:spoke(turn, turn)
      all:words(turn, "word " .. turn, true, turn)
    end
    local waiting = all:waiting()
    assert.is_true(#waiting <= 64)
    assert.equal("word 20000", waiting[#waiting].text)
    all:says(1)
    all:settled(1)
    all:done(1, "end")
    assert.is_false(all:flush())
    assert.truthy(given[1].user:find("word 20000", 1, true))
    assert.is_true(#given[1].user < 2000)
  end)

  it("is told late of a turn that was answered long before, and makes no new one", function()
    local all, given = new()
    for turn = 1, 1000 do
      all:spoke(turn, turn)
      all:words(turn, "hello", true, turn)
      all:says(turn)
      all:settled(turn)
      all:done(turn, "end")
      all:flush()
    end
    assert.equal(1000, #given)
    assert.equal("late", all:words(3, "late", true, 5000).text)
    assert.is_false(all:owes())
    local kept = 0
    for _ in pairs(all.turns) do kept = kept + 1 end
    assert.is_true(kept <= 128)
  end)

  it("is heard once more as other turns, and keys are not", function()
    local all = new()
    all:spoke(1, 1)
    all:typed("(presses 4)", 2)
    all:again()
    assert.same({ "(presses 4)" }, { all:rest() and all:waiting()[1].text })
    assert.equal(1, #all:waiting())
  end)
end)

describe("an exchange", function()
  -- What the caller said, and a tool that was called in answer to it and has its result.
  local function after_tool()
    local all, given = new()
    all:words(1, "what does it cost", true, 1)
    local exchange = all:says(1)
    all:calls(exchange, 1)
    all:settled(1)
    all:done(1, "tool")
    all:calls(exchange, -1)
    return all, given
  end

  it("is over when the model says nothing to a result", function()
    local all, given = after_tool()
    all:flush()
    assert.equal(0, #given)
    all:settled(2)  -- of a reply that nobody knows
    all:done(2, "end")
    all:settled(2)
    all:flush()
    assert.equal(1, #given)
    assert.same({ 1, 2 }, given[1].replies)
  end)

  it("is over when the last call of it is taken back", function()
    local all, given = new()
    all:words(1, "what does it cost", true, 1)
    local exchange = all:says(1)
    all:calls(exchange, 1)
    all:settled(1)
    all:done(1, "tool")
    all:uncalled(exchange)
    all:flush()
    assert.equal(1, #given)
  end)

  it("is over at once when we answer him ourselves", function()
    local all, given = new()
    all:words(1, "a human please", true, 1)
    all:take()
    all:flush()
    assert.equal("a human please", given[1].user)
  end)

  it("that was given back is not gone on with, and nothing of it is kept", function()
    local all = new()
    all:words(1, "hello", true, 1)
    all:says(1)
    all:settled(1)
    all:done(1, "end")
    all:flush()
    assert.is_true(all:is_past(1))
    assert.is_nil(next(all.by_reply) or next(all.replies))
    assert.is_false(all:is_past(2))
  end)
end)
