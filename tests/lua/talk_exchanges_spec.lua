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
end)
