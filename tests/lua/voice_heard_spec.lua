-- SPDX-License-Identifier: Apache-2.0
--- What was heard of a reply that was cut off.
local heard = require "voice.heard"

-- Timings of a synthesiser: each word ends so many ms after the one before.
local function marks(text, ms)
  local list = {}
  for stop in text:gmatch("%S+()") do list[#list + 1] = { stop = stop - 1, ms = (#list + 1) * ms } end
  return list
end

local function of(pieces, late)
  local text, all = heard.of(pieces, late)
  return { text, all }
end

describe("what was heard", function()
  it("is all that was played to its end", function()
    assert.same({ "One. Two.", true }, of{ { text = "One.", played = true }, { text = "Two.", played = true } })
    assert.same({ "", true }, of{})
  end)

  it("is nothing of what had not begun", function()
    assert.same({ "", false }, of{ { text = "One." } })
    assert.same({ "One.", false }, of{ { text = "One.", played = true }, { text = "Two." }, { text = "Three.", played = true } })
    assert.same({ "", false }, of{ { text = "One.", played = 0, ms = 500, whole = true } })
  end)

  it("is exact to the word where the synthesiser told its timings", function()
    local text = "I can put you through now."
    for played, expected in pairs{ [0] = "", [199] = "", [200] = "I", [399] = "I", [800] = "I can put you", [1199] = "I can put you through" } do
      assert.same({ expected, false }, of{ { text = text, played = played, ms = 1200, whole = true, marks = marks(text, 200) } })
    end
    assert.same({ text, true }, of{ { text = text, played = 1200, ms = 1200, whole = true, marks = marks(text, 200) } })
  end)

  it("is exact by timings of characters, too, and never half a word", function()
    local text, list = "Hello there", {}
    for i = 1, #text do list[i] = { stop = i, ms = i * 50 } end
    assert.same({ "Hello", false }, of{ { text = text, played = 500, marks = list } })
    assert.same({ "", false }, of{ { text = text, played = 240, marks = list } })
  end)

  it("trusts no timings that go back, or beyond the text", function()
    assert.same({ "One", false }, of{ { text = "One two three", played = 300, marks = { { stop = 3, ms = 200 }, { stop = 7, ms = 900 }, { stop = 13, ms = 100 } } } })
    assert.same({ "One two", true }, of{ { text = "One two", played = 300, marks = { { stop = 9000, ms = 100 } } } })
  end)

  it("is the text spread over its audio where there are no timings", function()
    local text = "We open at nine in the morning and close at six in the evening."
    local half = heard.of{ { text = text, ms = 4000, whole = true, played = 2000 } }
    assert.is_true(half == "We open at nine in the morning" or half == "We open at nine in the morning and", half)
    assert.same({ text, true }, of{ { text = text, ms = 4000, whole = true, played = 4000 } })
  end)

  it("counts a word whose pause was not waited for", function()
    assert.equal("Good morning.", (heard.of{ { text = "Good morning. How are you?", ms = 2000, whole = true, played = 900 } }))
  end)

  it("gives digits the time it takes to read them out", function()
    for _, played in ipairs{ 1800, 2500 } do
      assert.equal("Call 4711", (heard.of{ { text = "Call 4711 8150 for a new roof", ms = 4000, whole = true, played = played } }))
    end
  end)

  it("is less by what was on its way to his ear", function()
    local piece = { text = "one two three four", played = 800, marks = marks("one two three four", 200) }
    assert.equal("one two three", (heard.of({ piece }, 100)))
    assert.equal("", (heard.of({ piece }, 900)))
  end)

  it("goes by the voice's rate while the audio still came", function()
    local slow = { text = "We open at nine in the morning.", ms = 6000, whole = true, played = true }
    local fast = { text = "We open at nine in the morning.", ms = 1500, whole = true, played = true }
    local cut = { text = "And we close at six in the evening.", ms = 1000, played = 1000 }
    assert.is_true(#heard.of{ slow, cut } < #heard.of{ fast, cut })
    assert.is_true(#heard.of{ cut } > 0)
    assert.is_false(select(2, heard.of{ cut }))
  end)

  it("is cut between characters in scripts without spaces", function()
    local text = "明日の朝九時に開きます。"
    local half = heard.of{ { text = text, ms = 3000, whole = true, played = 1500 } }
    assert.is_true(#half > 0 and #half < #text and #half % 3 == 0)
    assert.equal(half, text:sub(1, #half))
  end)

  it("grows with what was played, and is the beginning of what was said", function()
    local words = { "roof,", "4711", "Dr.", "é", "明日", "x", "end.", "\255\254", "—", "why?" }
    for seed = 1, 200 do
      math.randomseed(seed)
      local pieces, said = {}, {}
      for i = 1, math.random(1, 5) do
        local text = {}
        for j = 1, math.random(1, 12) do text[j] = words[math.random(#words)] end
        text = table.concat(text, " ")
        pieces[i] = { text = text, ms = math.random(0, 4000), whole = math.random(2) == 1, marks = math.random(3) == 1 and marks(text, math.random(0, 300)) or nil }
        said[i] = text
      end
      said = table.concat(said, " ")
      local at, last = math.random(#pieces), -1
      for i = 1, at - 1 do pieces[i].played = true end
      for played = 0, 5000, 250 do
        pieces[at].played = played
        local text = heard.of(pieces, 60)
        assert.equal(text, said:sub(1, #text), "seed " .. seed)
        assert.is_true(#text >= last, "seed " .. seed)
        last = #text
      end
    end
  end)

  it("takes any bytes and any length", function()
    heard.of{ { text = ("\128"):rep(100000), ms = 1000, whole = true, played = 500 } }
    heard.of{ { text = ("a "):rep(100000), ms = 1000, whole = true, played = 500 } }
    heard.of{ { text = "", ms = 0, whole = true, played = 10 }, { text = "   ", played = 10 } }
    assert.is_true(#heard.of{ { text = ("漢"):rep(50000), ms = 1000, whole = true, played = 500 } } % 3 == 0)
  end)
end)

describe("a piece that was cut off", function()
  it("is gone on with behind the last word that was heard", function()
    local text = "I can put you through now."
    local piece = { text = text, played = 790, ms = 1200, whole = true, marks = marks(text, 200) }
    assert.equal(600, heard.resume_ms(piece))
    assert.equal(400, heard.resume_ms(piece, 200))
    piece.played = 150
    assert.equal(0, heard.resume_ms(piece))
    piece.played = nil
    assert.equal(0, heard.resume_ms(piece))
  end)

  it("is never gone on with behind what was played, whatever is known of it", function()
    for seed = 1, 200 do
      math.randomseed(seed)
      local text = ("some words, "):rep(math.random(0, 6))
      local piece = { text = text, played = math.random(0, 3000), ms = math.random(0, 3000), whole = math.random(2) == 1, marks = math.random(2) == 1 and marks(text, 150) or nil }
      local ms = heard.resume_ms(piece, 60)
      assert.is_true(ms >= 0 and ms <= math.max(0, piece.played - 60))
    end
  end)
end)

describe("the history", function()
  it("marks where a reply was cut, and leaves out what nobody heard", function()
    assert.equal("We open at", heard.for_history("We open at", true))
    assert.equal("We open at …", heard.for_history("We open at", false))
    assert.is_nil(heard.for_history("", false))
  end)
end)
