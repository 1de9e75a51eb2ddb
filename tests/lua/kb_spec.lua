-- SPDX-License-Identifier: Apache-2.0
--- The knowledge base without a server: terms, sentences, passages, the index, and what hostile papers do to them.
require "stand_in"
local chunks = require "kb.chunks"
local index = require "kb.index"
local sentences = require "kb.sentences"
local urlencoded = require "lib.urlencoded"
local words = require "kb.words"

local PRICES = [[
# Acme Solar

We put solar roofs on houses since 1998.

## Prices

A roof of 5 kW costs 9,900 dollars. It takes two days.

### Batteries

- A battery of 10 kWh costs 4,500 dollars.
- It is guaranteed for ten years.

## Opening hours

We are open Monday to Friday from 9 to 17.

```
# not a heading
```
]]

local function of(text)
  local list = {}
  chunks.add(list, "kb/a.md", text)
  return list
end

local function built(files)
  local list = {}
  for path, text in pairs(files) do chunks.add(list, path, text) end
  return index.new(list)
end

describe("terms", function()
  it("are the same with and without accents and capitals, in several alphabets", function()
    assert.same(words.terms("Öffnungszeiten CAFÉ"), words.terms("offnungszeiten cafe\204\129"))
    assert.same(words.terms("ЦЕНЫ ΤΙΜΈΣ"), words.terms("цены τιμες"))
    assert.same({ "strass" }, words.terms("Straße"))
  end)

  it("are the same in the plural, and for what is done and is being done", function()
    assert.same(words.terms("price opening closed batteries"), words.terms("prices open closing battery"))
  end)

  it("leave out what says nothing", function()
    assert.same({ "roof" }, words.terms("What is the roof?"))
    assert.same({ "dach" }, words.terms("Was ist mit dem Dach?"))
  end)

  it("of scripts without spaces are pairs", function()
    assert.same({ "営業", "業時", "時間" }, words.terms("営業時間。"))
  end)

  it("do not hide behind characters without width", function()
    assert.same(words.terms("battery"), words.terms("bat\226\128\139te\194\173ry"))
  end)
end)

describe("sentences", function()
  it("end where people end them, not at Dr. or 3. or 9.50", function()
    assert.same({ "Dr. May comes on the 3. of June.", "It costs 9.50 dollars!", "Really?" }, sentences.of("Dr. May comes on the 3. of June. It costs 9.50 dollars! Really?"))
    assert.same({ "営業は九時から。", "どうぞ" }, sentences.of("営業は九時から。どうぞ"))
    assert.same({ "One", "- two", "- three" }, sentences.of("One\n- two\n- three"))
  end)

  it("are what a cut leaves whole", function()
    assert.same({ "One two. Three.", true }, { sentences.cut("One two. Three. Four five six.", 20) })
    assert.same({ "One two", true }, { sentences.cut("One two three four", 9) })
    assert.same({ "short", false }, { sentences.cut("short", 9) })
    assert.is_true(urlencoded.is_text((sentences.cut(("ä"):rep(50), 33))))
  end)
end)

describe("chunks", function()
  it("stand under their headings, with the line where they begin", function()
    local list = of(PRICES)
    assert.same({ "Acme Solar", "Acme Solar > Prices", "Acme Solar > Prices > Batteries", "Acme Solar > Opening hours" },
      { list[1].heading, list[2].heading, list[3].heading, list[4].heading })
    assert.equal(4, #list)
    assert.equal(7, list[2].line)
    assert.truthy(list[4].text:find("# not a heading", 1, true))
  end)

  it("are several where much stands under one heading", function()
    local list = of("# All\n" .. ("A sentence of some words.\n\n"):rep(400))
    assert.is_true(#list > 5)
    for _, chunk in ipairs(list) do
      assert.equal("All", chunk.heading)
      assert.is_true(#chunk.text <= 3001)
    end
  end)

  it("lose no text of one endless line, nor cut its characters", function()
    local list, size = of(("ä"):rep(20000)), 0
    for _, chunk in ipairs(list) do
      assert.is_true(urlencoded.is_text(chunk.text))
      size = size + #chunk.text:gsub("\n", "")
    end
    assert.equal(40000, size)
  end)

  it("are UTF-8 whatever the file is", function()
    for _, text in ipairs{ "# \255\254\n\237\160\128 \192\175 ok", ("\255"):rep(5000), "a\0b", ("# "):rep(3000), "\239\191" } do
      for _, chunk in ipairs(of(text)) do
        assert.is_true(urlencoded.is_text(chunk.text))
        assert.is_true(urlencoded.is_text(chunk.heading))
      end
    end
  end)
end)

describe("a search", function()
  local acme = built{ ["kb/a.md"] = PRICES }

  it("finds the passage that has the words, and says how much of the question is in it", function()
    local found = acme:search("How much does a battery cost?", 2)
    assert.equal("Acme Solar > Prices > Batteries", found[1].chunk.heading)
    assert.is_true(found[1].share > 0.5)
    assert.is_true(found[1].score > found[2].score)
  end)

  it("finds nothing where no word fits, and little where one of many does", function()
    assert.same({}, acme:search("Who wrote Hamlet?", 4))
    assert.is_true(acme:search("Who wrote the opening of Hamlet, prince of Denmark?", 1)[1].share < 0.5)
  end)

  it("of an empty knowledge base, of no words or of no limit gives nothing", function()
    assert.same({}, built{}:search("roof", 4))
    assert.same({}, acme:search("?!", 4))
    assert.same({}, acme:search("", 4))
    assert.same({}, acme:search("roof", 0))
  end)

  it("prefers the rare word to the frequent one", function()
    local many = {}
    for i = 1, 50 do many["kb/" .. i .. ".md"] = "# Roof " .. i .. "\nThe roof is a roof and a roof." end
    many["kb/x.md"] = "# Warranty\nThe roof has a warranty."
    assert.equal("Warranty", built(many):search("roof warranty", 1)[1].chunk.heading)
  end)
end)

describe("a search in many passages", function()
  -- The first word is in all, the second in two of three, the third in every fifth, the others in one each.
  local function many(count)
    local list = {}
    for i = 1, count do
      local text = "shop " .. (i % 3 > 0 and "house " or "") .. (i % 5 == 0 and "roof " or "") .. ("filler "):rep(i % 7) .. "word" .. i
      list[i] = { file = "kb/a.md", line = i, heading = "", text = text }
    end
    return index.new(list)
  end

  local function lines(found)
    local list = {}
    for i, hit in ipairs(found) do list[i] = hit.chunk.line end
    return list
  end

  it("gives the best of them in their order, the first of equals first", function()
    local all = many(1000)
    local whole, few = all:search("roof word700 word3", 1000), lines(all:search("roof word700 word3", 5))
    assert.equal(201, #whole)
    assert.same({ 700, 3, 105, 210, 315 }, few)
    for i, line in ipairs(few) do assert.equal(whole[i].chunk.line, line) end
    for i = 2, 201 do
      local a, b = whole[i - 1], whole[i]
      assert.is_true(a.score > b.score or (a.score == b.score and a.chunk.line < b.chunk.line))
    end
  end)

  it("does not read what most of them have, unless it is all there is", function()
    local all = many(1000)
    local found = all:search("shop house word9", 4)
    assert.same({ 9 }, lines(found))
    assert.equal(1, found[1].share)
    assert.equal(4, #all:search("shop", 4))
    assert.equal(4, #all:search("shop house", 4))
    assert.is_true(all:search("hamlet shop", 1)[1].share < 0.2)
    assert.same({ 9, 7, 14, 28 }, lines(many(100):search("house word9", 4)))
  end)

  it("put all of them in order for the best four, and read each word of the question in each", function()
    local list, question = {}, {}
    for term = 1, 48 do question[term] = "term" .. term end
    for i = 1, 20000 do
      local words_of = {}
      for term = 1 + i % 2, 48, 2 do words_of[#words_of + 1] = question[term] end
      list[i] = { file = "kb/a.md", line = i, heading = "", text = table.concat(words_of, " ") }
    end
    local all = index.new(list)
    local began = os.clock()
    for _ = 1, 10 do assert.equal(4, #all:search(table.concat(question, " "), 4)) end
    assert.is_true(os.clock() - began < 0.25, ("ten took %.2f s"):format(os.clock() - began))
  end)
end)

-- A limit ten times over what it takes on a slow machine: what is quadratic takes minutes.
local function within(seconds, fn)
  local began = os.clock()
  fn()
  assert.is_true(os.clock() - began < seconds, ("it took %.1f s"):format(os.clock() - began))
end

describe("hostile text", function()
  local size = 60000
  local texts = {
    "spaces", (" "):rep(size), "brackets", ("["):rep(size), "marks", ("!"):rep(size), "lines", ("\n"):rep(size), "hashes", ("# "):rep(size / 2),
    "dots", (". "):rep(size / 2), "quotes", (".\""):rep(size / 2), "high bytes", ("\227"):rep(size), "fences", ("```\n"):rep(size / 4), "one word", ("a"):rep(size),
    "words", ("ab "):rep(size / 3), "a pattern", ("(.-)*%s+[^a]+%f"):rep(size / 15),
  }
  for i = 1, #texts, 2 do
    it("takes time in proportion: " .. texts[i], function()
      local text = texts[i + 1]
      within(5, function()
        local list = of(text)
        index.new(list):search(text, 4)
        sentences.of(text)
        sentences.cut(text, 5000)
        words.terms(text)
        chunks.plain(text)
      end)
    end)
  end
end)
