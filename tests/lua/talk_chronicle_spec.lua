-- SPDX-License-Identifier: Apache-2.0
--- What is written down of a conversation that a realtime model leads.
local chronicle = require "calls.talk.chronicle"
local timeline = require "voice.timeline"

local now, lines

local function begun(kept, first_line)
  now, lines = 5000, {}
  return chronicle.new({ now = function() return now end, transcript = function(line) lines[#lines + 1] = line end, first_line = first_line }, kept or {})
end

-- A player that says of each reply what was heard.
local function player(texts)
  return { heard = function(_, number) return unpack(texts[number] or { "", true, "" }) end, forget = function(self, number) self.gone = number end }
end

local function exchange(fields)
  local of = { turns = { {} }, replies = { 1 }, steps = {}, user = "hello", line = timeline.new(1) }
  for name, value in pairs(fields or {}) do of[name] = value end
  return of
end

describe("a conversation that is written down", function()
  it("has its lines in order, behind those before it, with times from its beginning", function()
    local book = begun({ line = 7, turns = 2, spent_ms = 60000 }, 3)
    now = 9000.6
    book:own("Good day.", true, "Good day.")
    now = 12000
    local he = player{ { "We", false, "We open at nine." } }
    assert.is_true(book:exchange(exchange{ began = 9500, ended = 11000, sentiment = "neutral" }, he))
    assert.equal(1, he.gone)
    assert.same({ { 8, "agent", "Good day.", 4000, 4000 }, { 9, "caller", "hello", 4500, 6000 }, { 10, "agent", "We open at nine.", 7000, 7000 } }, {
      { lines[1].n, lines[1].party, lines[1].text, lines[1].began_ms, lines[1].ended_ms }, { lines[2].n, lines[2].party, lines[2].text, lines[2].began_ms, lines[2].ended_ms },
      { lines[3].n, lines[3].party, lines[3].text, lines[3].began_ms, lines[3].ended_ms } })
    assert.same({ "We", nil }, { lines[3].heard, lines[1].heard })
    local kept = book:kept("history")
    assert.same({ "history", 3, 10, true, 67000 }, { kept.history, kept.turns, kept.line, kept.greeted, kept.spent_ms })
    assert.equal(67, book:seconds())
    assert.equal(4, begun({}, 4).line)
  end)

  it("has no line of what nobody said, and no turn of what the model said by itself", function()
    local book = begun()
    book:own("", true, "")
    assert.is_true(book:exchange(exchange{ user = "" }, player{}))
    assert.is_false(book:exchange(exchange{ user = "", turns = {} }, player{ { "Still there?", true, "Still there?" } }))
    assert.equal(1, #lines)
    assert.equal(1, book.count)
    assert.equal(1, #book.history.turns)
  end)

  it("numbers its turns behind those before it, and none of them twice", function()
    local book = begun({ turns = 2, numbered = 4 })
    local function turn_of(fields)
      book:exchange(exchange(fields), player{ { "Yes.", true, "Yes." } })
      return lines[#lines].timeline.turn
    end
    assert.same({ 5, 0, 6 }, { turn_of{ line = timeline.new() }, turn_of{ line = timeline.new(), turns = {}, user = "" }, turn_of{ line = timeline.new() } })
    assert.same({ 4, 6 }, { book:kept().turns, book:kept().numbered })
    assert.equal(2, begun({ turns = 2 }).numbered)  -- of an older version's worker
    book = chronicle.new({ now = function() return 0 end, asks = { turn = 7 } }, { turns = 2, numbered = 4 })
    assert.equal(7, book.numbered)
  end)

  it("has what the caller said last, though nobody answered", function()
    local book = begun()
    now = 8000
    book:unanswered("but", 6000, nil, "negative")
    assert.same({ "caller", "but", "negative", 1000, 3000 }, { lines[1].party, lines[1].text, lines[1].sentiment, lines[1].began_ms, lines[1].ended_ms })
  end)

  it("has how long it was until we were silent, which is told behind the exchange", function()
    local book, times = begun(), timeline.new(1)
    times:mark("voice_began", 6000)
    times:mark("stopping", 6100)
    book:exchange(exchange{ line = times }, player{ { "We", false, "We open." } })
    assert.is_nil(times.at.silent)
    book:silent(1, 6150)
    assert.equal(6150, times.at.silent)
    book:silent(1, 9000)
    book:silent(2, 9000)
    assert.equal(6150, times.at.silent)
    assert.is_nil(next(book.stopping))
  end)

  it("is measured once, though two answers of a turn were cut off", function()
    local book, times, timed = begun(), timeline.new(1), 0
    book.world.timed = function() timed = timed + 1 end
    times:mark("voice_began", 6000)
    times:mark("stopping", 6100)
    book:exchange(exchange{ line = times, replies = { 1, 2 } }, player{ { "We", false, "We open." } })
    book:silent(1, 6150)
    book:silent(2, 6160)
    assert.equal(1, timed)
    assert.is_nil(next(book.stopping))
  end)
end)
