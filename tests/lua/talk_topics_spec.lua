-- SPDX-License-Identifier: Apache-2.0
--- What callers ask of any business, found in a knowledge base that has other words for it.
local chunks = require "kb.chunks"
local escalation = require "calls.talk.escalation"
local index = require "kb.index"
local answerer = require "ai.local"
local kb_words = require "kb.words"
local lexicon = require "voice.lexicon"
local topics = require "calls.talk.topics"
local usual_topics = require "calls.talk.usual_topics"
local words = require "calls.talk.words"
local world = require "tests.lua.talk_world"

local PAPER = [[
# Opening hours

We are open from eight until six.

# Prices

A roof costs twelve thousand dollars.

# Warranty

Each panel has twenty five years.
]]

-- ask(question) -> the answer of a knowledge base in that language, or nil
local function desk(paper, language)
  local list, headings = {}, {}
  chunks.add(list, "kb/company.md", paper)
  local found = index.new(list)
  for i, chunk in ipairs(list) do headings[i] = chunk.heading end
  local known = topics.new(headings, language)
  return function(question)
    return known:find(question, function(text)
      local passages = {}
      for i, hit in ipairs(found:search(text, 4)) do passages[i] = { text = hit.chunk.text, share = hit.share } end
      return (answerer.extract(text, passages))
    end)
  end
end

describe("a question in everyday words", function()
  it("is answered from what the knowledge base has about it", function()
    local ask = desk(PAPER, "en")
    for question, answer in pairs{
      ["How much is it?"] = "dollars", ["What does it cost?"] = "dollars", ["Is it expensive?"] = "dollars", ["Hello, how much would that be please?"] = "dollars",
      ["I want to know about your prices."] = "dollars", ["I have a question about prices."] = "dollars", ["What are the fees?"] = "dollars",
      ["When are you open?"] = "eight", ["Are you open on Sunday?"] = "eight", ["What time do you close?"] = "eight", ["When can I come by?"] = "eight",
      ["Is there a guarantee?"] = "panel", ["What if it breaks?"] = "panel", ["Can you tell me more about your warranty?"] = "panel",
    } do assert.is_truthy((ask(question) or ""):find(answer, 1, true), question) end
  end)

  it("is not answered with something else where the knowledge base has nothing about it", function()
    local ask = desk(PAPER, "en")
    for _, question in ipairs{ "Where are you?", "What is your address?", "Do you deliver?", "Can I make an appointment?", "Tell me a joke.", "Where is my order?", "", "...", "How do I cancel?" } do
      assert.is_nil(ask(question), question)
    end
  end)

  -- "Where are you?" was told when the store is open, and the price of everything was that of its delivery.
  it("is not answered from a heading that only says whose or for what it is", function()
    for heading, questions in pairs{
      ["Store hours"] = { "Where are you?", "When are you open?" }, ["Office hours"] = { "Where are you located?", "When do you close?" },
      ["Opening hours of the shop"] = { "Where are you?", "When are you open?" }, ["Customer service hours"] = { "What do you do?", "When are you open?" },
      ["Payment by telephone"] = { "How can I reach you?", "How can I pay?" }, ["Exchange rates"] = { "Can I return it?" },
      ["Cancel your booking"] = { "Can I make an appointment?", "How do I cancel?" },
      ["Shop > Opening hours"] = { "Where are you?", "When are you open?" }, ["Services > Prices"] = { "What do you do?", "How much is it?" },
    } do
      local paper = heading:gsub("^(.-) > ", "# %1\n\n## ")
      local ask = desk((paper == heading and "# " or "") .. paper .. "\n\nTwelve.\n", "en")
      assert.is_nil(ask(questions[1]), heading)
      if questions[2] then assert.equal("Twelve.", ask(questions[2]), heading) end
    end
    local german = desk("# Öffnungszeiten der Filiale\n\nAcht.\n", "de")
    assert.is_nil(german("Wo sind Sie?"))
    assert.equal("Acht.", german("Wann haben Sie offen?"))
    for _, heading in ipairs{ "Delivery and parking", "Delivery, parking", "Parking & delivery" } do
      local both = desk("# " .. heading .. "\n\nTwelve.\n", "en")
      assert.same({ "Twelve.", "Twelve." }, { both("Do you deliver?"), both("Where can I park?") }, heading)
    end
  end)

  it("is answered from the heading that has the least else in it, wherever it stands", function()
    for _, before in ipairs{ "# Delivery\n\n## Shipping costs\n\nTen.\n", "# Delivery\n\n## Costs\n\nTen.\n", "# Exchange rates\n\nTen.\n", "# Cancellation fees\n\nTen.\n" } do
      for _, prices in ipairs{ "Prices", "Our prices", "Prices of each roof that we have" } do
        local own = "# " .. prices .. "\n\nTwelve.\n"
        assert.equal("Twelve.", desk(before .. "\n" .. own, "en")("How much is it?"), before .. prices)
        assert.equal("Twelve.", desk(own .. "\n" .. before, "en")("How much is it?"), before .. prices)
      end
    end
    assert.equal("Ten.", desk("# Shipping costs\n\nTen.\n", "en")("How much is it?"))
  end)

  it("is answered in each language", function()
    for language, of in pairs{
      de = { "Preise", "Wie teuer ist das?" }, en = { "Prices", "How much is it?" }, es = { "Precios", "¿Cuánto es?" }, fr = { "Tarifs", "C'est combien ?" },
      it = { "Prezzi", "Quanto viene?" }, pt = { "Preços", "Quanto fica?" },
    } do
      assert.equal("Twelve.", desk("# " .. of[1] .. "\n\nTwelve.\n", language .. "-XX")(of[2]), language)
    end
  end)

  it("is looked up by what stands above, too, and by what else it says", function()
    local ask = desk("# Prices\n\n## Roof\n\nTwelve.\n\n## Battery\n\nFive.\n", "en")
    assert.equal("Five.", ask("How much is a battery?"))
    assert.equal("Twelve.", ask("How much do you charge for a roof?"))
  end)

  it("is heard, answered and noted as it was asked", function()
    local w = world.new{ args = { tools = { "create_lead" } }, call = { permissions = { personal_data = true } }, answers = { prices = "Twelve thousand." } }
    w:greeted():says("how much is it"):pass(9000)
    assert.is_truthy(w:spoken():find("Twelve thousand. Shall we call you back about this?", 1, true))
    w:says("yes"):pass(3000)
    assert.same({ notes = "asked about: how much is it" }, w.leads[1].fields)
  end)
end)

describe("the usual topics", function()
  it("are the same in each language, and none is without words or questions", function()
    for _, language in ipairs{ "de", "en", "es", "fr", "it", "pt" } do
      assert.equal(language, lexicon.language(language))
      local list = usual_topics[language]
      assert.equal(#usual_topics.en, #list, language)
      assert.is_truthy(list.asking:find("%a"))
      for i, topic in ipairs(list) do
        assert.is_truthy(topic.words:find("%a") and topic.asks:find("%a"), language .. i)
        for word in topic.words:gmatch("%S+") do assert.equal(word:gsub("[*_]", ""), (kb_words.fold(word):gsub("[*_]", "")), language) end
      end
    end
  end)

  it("are asked for in sentences that are found again, each once", function()
    for language in pairs(usual_topics) do
      local seen = {}
      for _, ask in ipairs(topics.new({}, language):asks()) do
        assert.is_nil(ask:find("[()|;*_]"), ask)
        assert.is_nil(seen[ask], ask)
        seen[ask] = true
      end
    end
  end)

  it("stand beside wishes that are understood, too", function()
    for language, wishes in pairs{ en = { "can i talk to somebody", "could i speak to a person", "put me through to someone", "a human please", "speak to an agent" },
      de = { "kann ich mit jemandem sprechen" }, es = { "quisiera hablar con alguien" }, fr = { "je voudrais parler à quelqu'un" }, it = { "posso parlare con qualcuno" },
      pt = { "posso falar com alguém" } } do
      local has = {}
      for _, ask in ipairs(topics.new({}, language):asks()) do has[ask] = true end
      for _, wish in ipairs(wishes) do assert.is_true(has[wish] and escalation.asks_for_human(wish, language), wish) end
    end
  end)

  it("that the knowledge base has come first among what may be asked", function()
    local asks, at = topics.new({ "Parking" }, "en"):asks(), {}
    for i, ask in ipairs(asks) do at[ask] = i end
    assert.is_true(at["where can i park"] < at["how much is it"])
    assert.equal(#topics.new({}, "en"):asks(), #asks)
  end)

  it("and a knowledge base's own titles make no more sentences than a recogniser can hold", function()
    local titles = {}
    for i = 1, 200 do titles[i] = "title " .. i end
    local list = words.sentences(titles, topics.new({}, "en"):asks(), "en")
    assert.is_true(#list <= 600)
    local has = {}
    for _, one in ipairs(list) do has[one] = true end
    assert.is_true(has["how much is it"] and has["can i talk to somebody"] and has["do you have title 1"])
    for _, one in ipairs(words.sentences(titles, {}, "en", true)) do assert.is_truthy(one:find(" ", 1, true), one) end
  end)
end)
