-- SPDX-License-Identifier: Apache-2.0
--- A model's text cut into pieces to be spoken, however it streams in.
local chunks = require "voice.chunks"
local urlencoded = require "lib.urlencoded"

local function characters(text) return #(text:gsub("[\128-\191]", "")) end

-- All pieces of a text that comes so many bytes at a time.
local function pieces(text, bytes, options)
  local c, list = chunks.new(options), {}
  for at = 1, #text, bytes or 7 do
    for _, piece in ipairs(c:feed(text:sub(at, at + (bytes or 7) - 1))) do list[#list + 1] = piece end
  end
  for _, piece in ipairs(c:finish()) do list[#list + 1] = piece end
  return list, c
end

local function same(expected, text, options)
  for _, bytes in ipairs{ 1, 2, 5, 13, 100000 } do assert.same(expected, (pieces(text, bytes, options)), bytes .. " bytes at a time") end
end

describe("a streamed text", function()
  it("is spoken sentence by sentence, the first one soon", function()
    same({ "Sure, I can help.", "We repair roofs of all kinds, and we also put in new windows.", "When would it suit you to have somebody come and look at it?" },
      "Sure, I can help. We repair roofs of all kinds, and we also put in new windows. When would it suit you to have somebody come and look at it?")
  end)

  it("gives its first piece with the first word behind it", function()
    local c = chunks.new()
    assert.same({}, c:feed("Sure, I can do that."))
    assert.same({ "Sure, I can do that." }, c:feed(" We"))
  end)

  it("may begin with a clause, when the sentence is long", function()
    same({ "Thank you very much for calling us today,", "and I hope that your roof is dry again." },
      "Thank you very much for calling us today, and I hope that your roof is dry again.")
    same({ "There are three roofs we can offer you", "one of tiles, one of slate and one of wood." },
      "There are three roofs we can offer you - one of tiles, one of slate and one of wood.")
    same({ "There are three roofs we can offer —", "one of tiles." }, "There are three roofs we can offer — one of tiles.")
  end)

  it("has short sentences spoken together", function()
    same({ "Yes. Of course.", "I can. You may. We will. They do. He is. It was. So be it. Amen to that." }, "Yes. Of course. I can. You may. We will. They do. He is. It was. So be it. Amen to that.")
  end)

  it("is not cut at an abbreviation, a decimal, a time or an address", function()
    same({ "Dr. Smith is here at 9.30 a.m. and asks for 3.50 euros, e.g. in coins." }, "Dr. Smith is here at 9.30 a.m. and asks for 3.50 euros, e.g. in coins.", { first_clause = 1000 })
    same({ "See www.acme.example/a,b;c?d=e.f for more." }, "See www.acme.example/a,b;c?d=e.f for more.", { first_clause = 5 })
    same({ "Der Termin ist am 3. Mai in Haus Nr. 4 bzw. Nr. 5 nebenan." }, "Der Termin ist am 3. Mai in Haus Nr. 4 bzw. Nr. 5 nebenan.", { first_clause = 1000 })
    same({ "It costs 1,250.99 dollars or 1.250,99 euros or so." }, "It costs 1,250.99 dollars or 1.250,99 euros or so.", { first_clause = 5 })
  end)

  it("is not cut between the figures of a number that is read out", function()
    same({ "The number that you gave is 5, 6, 7, 8, 9." }, "The number that you gave is 5, 6, 7, 8, 9.")
  end)

  it("is cut in scripts without spaces", function()
    same({ "こんにちは、田中です。", "今日はどうしますか？" }, "こんにちは、田中です。今日はどうしますか？", { first_sentence = 8, good = 5 })
  end)

  it("has lists spoken line by line, and no marks of Markdown", function()
    same({ "Prices. Here they are:", "Roof 500 euros. Window 200 euros. Bold and code and link. 1. One thing.", "2. Another thing." },
      "# Prices\n\nHere they are:\n\n- Roof 500 euros\n- Window 200 euros\n* **Bold** and `code` and [link](https://a.example/x.y z)\n1. One thing\n2. Another thing.",
      { first_sentence = 20, good = 65 })
  end)

  it("leaves out what nobody can speak", function()
    same({ "Great!" }, "\240\159\152\128 Great! \226\156\133\239\184\143")
    same({}, "***\n---\n\n...\n")
    same({}, "")
    same({ "an id stays snake_case" }, "an _id_ stays snake_case")
  end)
end)

describe("a piece", function()
  local function each_ok(text, bytes, options)
    local list = pieces(text, bytes, options)
    local most = options and options.most or 200
    for _, piece in ipairs(list) do
      assert.is_true(characters(piece) <= most, piece)
      assert.is_true(urlencoded.is_text(piece), piece)
      assert.is_truthy(piece:find("%S"))
    end
    return list
  end

  it("is never longer than may be, and is cut at a clause, else a word, else where it must be", function()
    local list = each_ok(("word "):rep(100) .. "end.", 9)
    for i, piece in ipairs(list) do assert.is_truthy(piece:find(i < #list and "^[word ]+$" or "end%.$")) end
    assert.equal(("word "):rep(100) .. "end.", table.concat(list, " "))
    list = each_ok(("x"):rep(1000), 9)
    assert.equal(5, #list)
    assert.equal(("x"):rep(1000), table.concat(list))
    list = each_ok(("a clause of words, "):rep(30), 9)
    for i = 1, #list - 1 do assert.equal(",", list[i]:sub(-1)) end
    list = each_ok(("漢字"):rep(500), 1)
    assert.equal(("漢字"):rep(500), table.concat(list))
  end)

  it("loses no word of the text and repeats none", function()
    local words = { "roof", "tile", "No. 5", "3.5", "a,", "b;", "Dr. X", "end.", "why?", "oh!", "well:", "-", "e.g.", "ok..." }
    for seed = 1, 200 do
      math.randomseed(seed)
      local text = {}
      for i = 1, math.random(1, 120) do text[i] = words[math.random(#words)] end
      text = table.concat(text, " ")
      local list = each_ok(text, math.random(1, 30), { most = math.random(20, 200) })
      local function letters(of) return (of:gsub("[^%w]", "")) end
      assert.equal(letters(text), letters(table.concat(list, " ")), "seed " .. seed)
    end
  end)

  it("is made of any bytes, in any portions", function()
    for seed = 1, 300 do
      math.randomseed(seed)
      local bytes = {}
      for i = 1, math.random(0, 600) do bytes[i] = math.random(3) == 1 and ({ ". ", "\n", ", ", " ", "\226\128", "\194", "\240\159" })[math.random(7)] or string.char(math.random(0, 255)) end
      each_ok(table.concat(bytes), math.random(1, 50))
    end
  end)

  it("may end within a character of the stream", function()
    assert.same({ "Grüße an alle." }, (pieces("Grüße an alle.", 1)))
    assert.same({ "Grü?" }, (pieces("Grü\195", 1)))
  end)
end)

describe("a stream of text", function()
  it("that pauses gives what is whole, and keeps what is not", function()
    local c = chunks.new()
    assert.same({}, c:feed("Sure, I can do that."))
    assert.same({ "Sure, I can do that." }, c:idle())
    assert.same({}, c:idle())
    c:feed(" We open at 9.")
    assert.same({}, c:idle())
    c:feed("30 on Mon")
    assert.same({}, c:idle())
    assert.same({ "We open at 9.30 on Mondays." }, (function() c:feed("days.") return c:finish() end)())
  end)

  it("that pauses behind a clause gives the clause", function()
    local c = chunks.new()
    c:feed("Hello. ")
    c:feed("While I am looking for your appointment, ple")
    local list = c:idle()
    assert.equal("While I am looking for your appointment,", (list[1]:gsub("^Hello%. ", "")))
    assert.same({ "please wait." }, (function() c:feed("ase wait.") return c:finish() end)())
  end)

  it("without end is spoken up to a bound, and says that it was cut", function()
    local c, list = chunks.new{ total = 1000 }, {}
    for _ = 1, 500 do
      for _, piece in ipairs(c:feed("And so on and on it goes. ")) do list[#list + 1] = piece end
    end
    for _, piece in ipairs(c:finish()) do list[#list + 1] = piece end
    assert.is_true(c.cut)
    assert.is_true(#table.concat(list, " ") <= 1000)
    local _, whole = pieces("Short.", 3)
    assert.is_false(whole.cut)
  end)

  it("is not spoken where it is marks and no words", function()
    for _, text in ipairs{ "…", "—", "« »", "¿?", "...", "Well — …" } do
      assert.same(text:find("Well") and { text } or {}, (pieces(text, 100)), text)
    end
    assert.same({ "ß" }, (pieces("ß", 100)))
    assert.same({ "你好。" }, (pieces("你好。", 100)))
  end)

  it("keeps little, whatever comes", function()
    for _, part in ipairs{ "x", " ", "\n", "é", "\226\128", ". ", "a, ", "(", "1. ", "\0", "\240\159\152\128" } do
      local c = chunks.new{ total = math.huge }
      for _ = 1, 5000 do c:feed(part) end
      assert.is_true(#c.buffer + #c.pending + #c.tail < 3000, ("%q"):format(part))
    end
  end)

  it("takes time in proportion to it", function()
    for _, part in ipairs{ "a. ", "word ", "x", "\n- ", "((((", "\226" } do
      local began = os.clock()
      pieces(part:rep(300000 / #part), 300000, { total = math.huge })
      assert.is_true(os.clock() - began < 5, part)
    end
  end)
end)
