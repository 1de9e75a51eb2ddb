-- SPDX-License-Identifier: Apache-2.0
--- What a conversation says by itself: in the caller's language, or as the script wrote it.
local arguments = require "scripts.arguments"
local escalation = require "calls.talk.escalation"
local gate = require "scripts.gate"
local lexicon = require "voice.lexicon"
local live = require "calls.talk.live"
local names = require "lib.names"
local promise = require "lib.promise"
local sentences = require "calls.talk.sentences"
local slots = require "calls.talk.slots"
local without_model = require "calls.talk.without_model"
local words = require "calls.talk.words"
local world = require "tests.lua.talk_world"

local LANGUAGES = { "de", "en", "es", "fr", "it", "pt" }

-- Names that a language has besides those that a script may write.
local OURS = { "and", "greeting", "plus" }

describe("the sentences of a conversation", function()
  it("are all there in each language that is understood", function()
    for _, language in ipairs(LANGUAGES) do
      assert.equal(language, lexicon.language(language .. "-XX"))
      local says = sentences.of(language)
      for _, list in ipairs{ sentences.own, OURS } do
        for _, name in ipairs(list) do
          local one = says[name]
          assert.truthy(type(one) == "table" and one[1] or type(one) == "string" and one:find("%S"), language .. " lacks " .. name)
          if language ~= "en" and #one > 8 then assert.are_not.equal(sentences.of("en")[name], one) end
        end
      end
      for _, name in ipairs{ "confirm", "topics" } do assert.truthy(says[name]:find("%s", 1, true), language) end
    end
  end)

  it("are of the language that a tag is of, and English where there are none of it", function()
    assert.equal("Sind Sie noch da?", sentences.of("de-AT").silence)
    assert.equal("Sind Sie noch da?", sentences.of("DE_at").silence)
    for _, other in ipairs{ "nl", "deutsch", "", "x" } do assert.equal("Are you still there?", sentences.of(other).silence) end
    assert.equal("Are you still there?", sentences.of(nil).silence)
  end)

  it("may be the script's, each by itself", function()
    local says = sentences.of("fr", { silence = "Allô ?" })
    assert.same({ "Allô ?", sentences.of("fr").more }, { says.silence, says.more })
    assert.equal("Vous êtes toujours là ?", sentences.of("fr").silence)
  end)

  it("may be written by a script as the gate has them", function()
    local fields
    for _, verb in ipairs(gate.verbs) do
      if verb.name == "converse" then fields = verb.params[1].fields.sentences.fields end
    end
    assert.same(sentences.own, names(fields))
  end)

  it("must be such as can be said", function()
    local verb
    for _, one in ipairs(gate.verbs) do verb = one.name == "converse" and one or verb end
    local function refused(own) return select(2, arguments.check(verb, { { sentences = own } })) end
    for _, text in ipairs{ "", " ", "...", "…", "¿?!" } do
      assert.equal("converse: options.sentences.human must be a text that can be said", refused{ human = text })
      assert.equal("converse: options.sentences.filler must be a list of texts that can be said", refused{ filler = { "Moment.", text } })
    end
    for _, text in ipairs{ "1", "...ja...", "お待ちください。" } do assert.truthy(arguments.check(verb, { { sentences = { human = text, filler = { text } } } })) end
  end)

  it("tell the caller a word for a human that is understood", function()
    local own = { de = "Mitarbeiter", en = "human", es = "agente", fr = "conseiller", it = "operatore", pt = "atendente" }
    for language, word in pairs(own) do
      local says = sentences.of(language)
      assert.truthy(says.topics:find(word, 1, true) and says.no_topics:find(word, 1, true), language)
      assert.is_true(escalation.asks_for_human(word, language), language)
      -- A recogniser with a grammar hears nothing else.
      assert.equal(word:lower(), words.phrases({}, language)[1])
    end
  end)

  it("hold what is told, whatever stands in it", function()
    assert.equal("Ist das %1 und %s?", sentences.with("Ist das %s?", "%1 und %s"))
  end)
end)

describe("a caller who asks for a human", function()
  it("is understood in Italian and Portuguese, too, and who speaks of people is not", function()
    for _, text in ipairs{ "vorrei parlare con una persona", "mi passi un operatore", "ho bisogno di un operatore" } do assert.is_true(escalation.asks_for_human(text, "it"), text) end
    for _, text in ipairs{ "quero falar com alguém", "preciso de um atendente", "pode passar a uma pessoa" } do assert.is_true(escalation.asks_for_human(text, "pt"), text) end
    for _, text in ipairs{ "siamo in quattro persone a casa", "la collega di mia sorella ha un tetto" } do assert.is_false(escalation.asks_for_human(text, "it"), text) end
    for _, text in ipairs{ "é para uma casa de uma pessoa", "o telhado tem dez metros" } do assert.is_false(escalation.asks_for_human(text, "pt"), text) end
  end)
end)

describe("a conversation in German", function()
  it("speaks German where nobody has written anything, with a model or without", function()
    local w = world.new{ args = { language = "de-AT" }, headings = { "Preise", "Garantie" }, answers = {} }
    assert(w.talk:begin{})
    assert.equal("Guten Tag. Wie kann ich Ihnen helfen?", w:spoken())
    w:pass(4000)
    w:says("was kostet ein dach"):pass(1500)
    assert.equal("Das weiß ich leider nicht. Ich kann Ihnen etwas sagen über preise und garantie. Oder sagen Sie Mitarbeiter, um mit jemandem zu sprechen.", w:spoken())
    w:pass(12000):says("mitarbeiter"):pass(1000)
    assert.equal("Einen Moment, ich verbinde Sie mit jemandem.", w:spoken())
  end)

  -- He was told that this is not known.
  it("ends without a model when he says goodbye, and calls back who asks for it", function()
    local w = world.new{ args = { language = "de" }, answers = { ["was kostet ein dach"] = "Zehntausend Euro." } }
    w:greeted():says("was kostet ein dach"):pass(9000):says("Danke, tschüss."):pass(9000)
    assert.same({ false, "hangup" }, { w.result.wants_human, w.result.why })
    w = world.new{ args = { language = "de", tools = { "create_lead" } }, call = { permissions = { personal_data = true } } }
    w:greeted():says("bitte rufen Sie mich zurück"):pass(3000)
    assert.same({ notes = "asked to be called back" }, w.leads[1].fields)
  end)

  it("understands goodbyes and wishes for a call back in each language, and no greeting for a goodbye", function()
    local function answer(language, text, topic)
      local told = without_model.answer({ topic = topic, noted = true }, { says = sentences.of(language), titles = {}, language = language, can_note = true, caller_number = "+1",
        ask = function() end, note_down = function() return true end }, { text = text })
      return told.leave or told.say:find(sentences.of(language).noted, 1, true) and "noted" or "unknown"
    end
    for language, text in pairs{ de = "das war's, danke", en = "thank you, goodbye", es = "gracias, adiós", fr = "merci, au revoir", it = "grazie, arrivederci", pt = "obrigado, tchau" } do
      assert.equal("hangup", answer(language, text), language)
    end
    for language, text in pairs{ de = "könnten Sie mich zurückrufen", en = "can you call me back please", es = "llámeme por favor", fr = "rappelez-moi s'il vous plaît",
      it = "mi richiami per favore", pt = "ligue de volta por favor" } do
      assert.equal("noted", answer(language, text), language)
    end
    assert.equal("unknown", answer("es", "no me llame"))
    for language, text in pairs{ de = "servus", es = "buenas tardes", fr = "salut", it = "ciao", pt = "bom dia" } do assert.equal("unknown", answer(language, text), language) end
    assert.equal("hangup", answer("it", "grazie, ciao", "i prezzi"))
    assert.equal("unknown", answer("it", "pronto", "i prezzi"))
  end)

  -- He heard "I do not know that", or nothing at all.
  it("is asked what he would like to know who only greets, or asks whether anybody is there", function()
    local function answer(language, text)
      local state = { misses = 1 }
      local told = without_model.answer(state, { says = sentences.of(language), titles = {}, language = language, ask = function() return "that" end }, { text = text })
      assert.equal(1, state.misses)
      return told.say
    end
    for language, texts in pairs{ de = { "Hallo?", "Guten Tag, hören Sie mich?" }, en = { "Hello?", "hello, is anybody there", "um, good morning" }, es = { "¿Hola?", "hola, ¿hay alguien?" },
      fr = { "Allô ?", "bonjour, il y a quelqu'un" }, it = { "Pronto?", "buongiorno, c'è qualcuno" }, pt = { "Alô?", "bom dia, tem alguém aí" } } do
      for _, text in ipairs(texts) do assert.equal(sentences.of(language).which, answer(language, text), text) end
    end
    local asked = without_model.answer({}, { says = sentences.of("en"), titles = {}, language = "en", ask = function(text) return text end }, { text = "hello, when are you open" })
    assert.truthy(asked.say:find("hello, when are you open", 1, true))
  end)

  -- Any noise may be heard as "hello": he was asked the same for ever.
  it("goes to a human who does nothing but greet, and is counted anew once he is understood", function()
    local function answer(state, text)
      return without_model.answer(state, { says = sentences.of("en"), titles = {}, language = "en", can_note = true, ask = function() return "Ten." end }, { text = text })
    end
    local says = sentences.of("en")
    for stage, again in pairs{ open = says.which, offer = says.offer, more = says.more } do
      local state = { stage = stage }
      local expected = { kind = stage == "open" and "open" or "yes_no" }
      local first = answer(state, "Hello?")
      assert.same({ again, expected, stage }, { first.say, first.expect, state.stage })
      local second = answer(state, "hello is anybody there")
      assert.same({ true, 1, stage }, { second.missed, state.misses, state.stage })
      assert.equal("not_understood", answer(state, "Hello?").human)
      local other = { stage = stage }
      for _ = 1, 3 do
        assert.equal(again, answer(other, "Hello?").say)
        answer(other, "what about roofs")
        other.stage = stage
      end
    end
    local left = answer({ stage = "more", topic = "roofs" }, "good evening")
    assert.equal("hangup", left.leave)
  end)

  it("asks in German whether he is still there, whoever leads, or as the script wrote it", function()
    local w = world.new{ of = live, args = { language = "de" } }
    assert(w.talk:begin{})
    w:tell("ready", { provider = "p", model = "m" }):pass(4000):spoken()
    w:pass(7500)
    assert.equal("Sind Sie noch da?", w:spoken())
    w = world.new{ args = { language = "de", sentences = { silence = "Hallo?" } } }
    w:greeted():spoken()
    w:pass(7500)
    assert.equal("Hallo?", w:spoken())
  end)
end)

describe("a script's own filler", function()
  -- It was given to a synthesiser, which could make no sound of it, and the conversation failed.
  it("that nobody can say fills nothing", function()
    local models = { function() return promise.new():wait() end }
    local w = world.new{ models = models, args = { sentences = { filler = { "Moment.", "" } } } }
    w:greeted():spoken()
    w:says("what do you have"):pass(7500)
    assert.equal("Moment.", w:spoken())
    assert.is_nil(w.result)
  end)
end)

describe("a phone number that is said back", function()
  -- It was said as "p l u s 4 9".
  it("has its plus as a word of the language", function()
    local list, says = { { name = "phone", kind = "phone", prompt = "?", confirm = true } }, sentences.of("es")
    local answer = slots.answer(list, slots.new(), { text = "+49 30 1234567" }, function() end, says)
    assert.equal("He entendido: más 4 9 3 0 1 2 3 4 5 6 7. ¿Es correcto?", answer.say)
  end)
end)
