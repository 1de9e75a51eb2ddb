-- SPDX-License-Identifier: Apache-2.0
--- How a caller sounds: by his words, and by a model's word in front of its answer.
local marks = require "calls.talk.marks"
local sentiment = require "calls.talk.sentiment"

describe("the sentiment of what a caller says", function()
  local function of(text, language) return (sentiment.of(text, language)) end

  it("is told by his words in each language", function()
    assert.equal("positive", of("That is great, you were very helpful.", "en"))
    assert.equal("negative", of("The service is terrible.", "en-GB"))
    assert.equal("neutral", of("I would like to know your opening hours.", "en"))
    assert.equal("positive", of("Das ist ja wunderbar.", "de"))
    assert.equal("negative", of("Ich bin sehr enttäuscht.", "de-AT"))
    assert.equal("negative", of("Esto es horrible, quiero presentar una queja.", "es"))
    assert.equal("positive", of("C'est parfait, je suis ravie.", "fr"))
    assert.equal("negative", of("Il servizio è terribile.", "it"))
    assert.equal("negative", of("O serviço é péssimo e horrível.", "pt"))
  end)

  it("is turned round by a word of no", function()
    assert.equal("negative", of("That is not very good.", "en"))
    assert.equal("neutral", of("That is not bad at all.", "en"))
    assert.equal("negative", of("Das ist gar nicht gut.", "de"))
  end)

  it("is not that of a greeting, thanks or an everyday wish", function()
    assert.equal("neutral", of("Good morning, I would like a roof.", "en"))
    assert.equal("neutral", of("No thanks.", "en"))
    assert.equal("neutral", of("Guten Tag, ich möchte ein Dach.", "de"))
    assert.equal("neutral", of("", "en"))
    assert.equal("neutral", of("\255\254 \0", "en"))
  end)

  it("is that of English where the language is not known", function()
    assert.equal("negative", of("terrible", "xx"))
    assert.equal("negative", of("terrible"))
  end)

  it("has anger of its own, which half fades with each turn", function()
    local _, calm = sentiment.of("I am disappointed.", "en")
    assert.equal(0, calm)
    local _, once = sentiment.of("This is ridiculous.", "en")
    assert.is_true(once < sentiment.ANGRY)
    local temper = sentiment.temper(sentiment.temper(0, once), once)
    assert.is_true(temper >= sentiment.ANGRY)
    assert.is_true(sentiment.temper(sentiment.temper(sentiment.temper(0, once), 0), once) < sentiment.ANGRY)
    local _, furious = sentiment.of("You are all idiots!", "en")
    assert.is_true(furious >= sentiment.ANGRY)
    local _, german = sentiment.of("Das ist eine Unverschämtheit, mir reicht's, ich bin wütend!", "de")
    assert.is_true(german >= sentiment.ANGRY)
    local _, denied = sentiment.of("I am not furious.", "en")
    assert.equal(0, denied)
  end)

  it("is on the whole most of all that of the last turns", function()
    local mood
    for _, word in ipairs{ "negative", "neutral", "positive", "positive" } do mood = sentiment.mood(mood, word) end
    assert.equal("positive", sentiment.word(mood))
    for _ = 1, 6 do mood = sentiment.mood(mood, "neutral") end
    assert.equal("neutral", sentiment.word(mood))
  end)
end)

describe("a model's word on the caller", function()
  local function read(...)
    local said
    local reader = marks.reader(function(word) said = word end)
    local text = ""
    for _, part in ipairs{ ... } do text = text .. reader:feed(part) end
    return text .. reader:finish(), said
  end

  it("is taken out of the text, however it is cut", function()
    for _, parts in ipairs{ { "<negative> I am sorry." }, { "<", "neg", "ative", ">", " ", "I am sorry." }, { " <Negative>", "I am sorry." } } do
      local text, said = read(unpack(parts))
      assert.equal("I am sorry.", text:match("^%s*(.*)$"))
      assert.equal("negative", said)
    end
  end)

  it("is not needed, and other text in its place is spoken", function()
    for _, text in ipairs{ "We open at nine.", "<b>Nine</b>", "< 5 dollars", "<neutralise it>", "" } do
      local spoken, said = read(text)
      assert.equal(text, spoken)
      assert.is_nil(said)
    end
  end)

  it("may come again behind a tool", function()
    local text, said = read("<neutral> One moment.", "\n", "<positive> Done.")
    assert.equal("One moment.\nDone.", text)
    assert.equal("positive", said)
  end)

  it("is not spoken when the answer ends in the midst of it", function()
    assert.equal("", (read("<neut")))
  end)
end)
