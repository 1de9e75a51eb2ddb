-- SPDX-License-Identifier: Apache-2.0
--- What a text says of its speaker, in each language whose words are known.
local reading = require "voice.reading"

local open, yes_no, spelling = { kind = "open" }, { kind = "yes_no" }, { kind = "spelling" }
local function digits(count) return { kind = "digits", count = count } end

local function ends(how, expect, language, texts)
  for _, text in ipairs(texts) do assert.equal(how, reading.ending(text, expect, language), text) end
end

describe("the end of a text", function()
  it("is none where there is no word", function()
    ends("none", open, "en", { "", "   ", "...", "?!", "\0\1", "\226\128\139" })
  end)

  it("is open behind what something must follow", function()
    ends("open", open, "en", { "I would like to", "my address is", "yes and", "well, um", "I want the", "hm", "Tuesday,", "so...", "I think \226\128\166", "the red one or", "let me see" })
    ends("open", open, "de", { "ich möchte ein", "Dienstag und", "äh", "ich wohne in der", "weil" })
    ends("open", open, "es", { "quiero una cita para", "sí pero", "eh", "mi dirección es" })
    ends("open", open, "fr", { "je voudrais un", "euh", "c'est pour", "oui mais" })
    ends("open", open, "it", { "vorrei un", "sì ma", "ehm", "abito in" })
    ends("open", open, "pt", { "eu quero um", "não mas", "hum", "moro em" })
  end)

  it("is not open behind a word that ends many sentences", function()
    ends("plain", open, "en", { "yes it is", "see you then", "I think so", "put me through", "me also" })
    ends("plain", open, "de", { "das bin ich", "rufen Sie mich bitte an", "machen Sie auf", "ich komme mit", "ich weiß nicht wo das ist" })
    ends("plain", open, "es", { "sí", "creo que sí", "así es", "es para mí" })
    ends("plain", open, "fr", { "bien sûr", "je suis là", "mais si" })
    ends("plain", open, "it", { "sono là", "sì" })
    ends("plain", open, "pt", { "sou eu", "não dá", "sim" })
  end)

  it("is whole with the mark of a sentence, in every script", function()
    ends("whole", open, "en", { "I would like a table.", "Can you help me?", "He said \"stop.\"", "Great!  " })
    ends("whole", open, nil, { "明日行きます。", "本当ですか？", "كيف حالك؟" })
  end)

  it("is plain otherwise, whatever the language", function()
    ends("plain", open, "en", { "I want to talk about my roof", "hello" })
    ends("plain", open, "xx", { "and", "ich und", "明日" })
  end)

  it("is an answer when it closes a closed question", function()
    ends("answer", yes_no, "en", { "yes", "Yeah.", "no thanks", "yes please", "yes it is", "no, no", "of course", "OK" })
    ends("answer", yes_no, "de-AT", { "ja", "Ja gerne", "nein danke", "ja, genau" })
    ends("answer", yes_no, "es", { "sí", "Sí, claro", "no gracias" })
    ends("answer", yes_no, "fr_FR", { "oui", "non merci", "d'accord", "bien s\195\187r", "oui s\226\128\153il vous plaît" })
    ends("answer", yes_no, "it", { "sì", "va bene", "no grazie" })
    ends("answer", yes_no, "pt", { "sim", "não", "não obrigado" })
    ends("plain", yes_no, "en", { "yes but call me tomorrow", "maybe", "please" })
    ends("open", yes_no, "en", { "yes and" })
  end)

  it("counts the digits that were spoken, as each language says them", function()
    for text, count in pairs{ ["one two three"] = 3, ["twenty one"] = 2, ["twenty oh one"] = 4, ["twenty thirty"] = 4, ["double five"] = 2, ["4711 and 5"] = 5, ["none"] = 0,
      ["two hundred five"] = 2 } do
      assert.equal(count, reading.digits(text, "en"), text)
    end
    for text, count in pairs{ ["einundzwanzig"] = 2, ["null eins sieben eins"] = 4, ["vierunddreißig fünf"] = 3, ["Hund"] = 0 } do assert.equal(count, reading.digits(text, "de"), text) end
    for text, count in pairs{ ["treinta y uno"] = 2, ["uno y dos"] = 2, ["veinte"] = 2 } do assert.equal(count, reading.digits(text, "es"), text) end
    for text, count in pairs{ ["trinta e um"] = 2, ["meia dúzia"] = 1 } do assert.equal(count, reading.digits(text, "pt"), text) end
    for text, count in pairs{ ["zéro six"] = 2, ["vingt et un"] = 2, ["soixante-dix"] = 2, ["soixante-douze"] = 2, ["soixante-dix-sept"] = 2, ["quatre-vingts"] = 2, ["quatre-vingt-dix"] = 2,
      ["quatre-vingt-dix-sept"] = 2, ["quatre-vingt-quatre"] = 2, ["zéro six quatre-vingt-trois vingt-deux"] = 6, ["trente douze"] = 4, ["trois vingt"] = 3 } do
      assert.equal(count, reading.digits(text, "fr"), text)
    end
  end)

  it("is an answer when all digits have come, in words or figures", function()
    ends("answer", digits(4), "en", { "4711", "four seven one one", "47 11", "four seven double one", "oh one two three", "forty seven eleven", "twenty one 55", "it is 4711" })
    ends("answer", digits(4), "de", { "vier sieben eins eins", "vier sieben zwo drei" })
    ends("answer", digits(2), "pt", { "meia três" })
    ends("number", digits(4), "en", { "4", "four seven", "forty seven one", "four seven one triple" })
    ends("number", digits(), "en", { "four seven one one" })
    ends("answer", digits(), "en", { "four seven one one that's it" })
    ends("plain", digits(4), "en", { "I do not have it here" })
  end)

  it("is a number where a number may go on, though the recogniser sets a full stop", function()
    ends("number", open, "en", { "my number is 555", "five five", "my number is five five five.", "0171 23", "call me at 555 double", "twenty one" })
    -- It was a whole answer, and the rest of the amount was spoken over.
    ends("number", open, "en", { "about two hundred", "in two thousand", "twenty one thousand" })
    ends("number", open, "es", { "unos tres mil" })
    ends("number", open, "fr", { "deux cents" })
    ends("plain", open, "en", { "a hundred", "thanks a thousand" })
    ends("plain", open, "en", { "for the two", "on the 3", "it happened in july 22" })
  end)

  it("is letters while something is spelled", function()
    ends("letters", spelling, "en", { "B A K", "b as in boy", "baker" })
    ends("answer", spelling, "en", { "b a k e r that's it", "b a k e r done" })
    ends("letters", open, "en", { "my name is b a k" })
  end)

  it("takes any bytes and any length", function()
    for seed = 1, 300 do
      math.randomseed(seed)
      local bytes = {}
      for i = 1, math.random(0, 60) do bytes[i] = string.char(math.random(0, 255)) end
      local text = table.concat(bytes)
      for _, expect in ipairs{ open, yes_no, spelling, digits(3), digits() } do
        assert.is_string(reading.ending(text, expect, "fr"))
        assert.is_string((reading.wants(text, expect, "it")))
      end
    end
    assert.equal("open", reading.ending(("word "):rep(200000) .. "and", open, "en"))
    assert.equal("plain", reading.ending(("\255"):rep(1000000), open, "en"))
    assert.equal("backchannel", (reading.wants(("mm hm "):rep(100000), open, "en")))
  end)
end)

describe("words over ours", function()
  local function want(what, expect, language, texts)
    for _, text in ipairs(texts) do assert.equal(what, (reading.wants(text, expect, language)), text) end
  end

  it("are a back-channel when they want nothing", function()
    want("backchannel", open, "en", { "mm-hm", "Mhm.", "uh-huh", "yeah", "yeah, okay", "right right", "I see", "got it", "okay, um", "of course", "Oh really?" })
    want("backchannel", open, "de", { "ja", "ja genau", "ach so", "mhm", "alles klar", "okay" })
    want("backchannel", open, "es", { "sí", "ya", "vale, vale", "de acuerdo", "ajá" })
    want("backchannel", open, "fr", { "oui oui", "d'accord", "ah bon", "ouais" })
    want("backchannel", open, "it", { "sì", "va bene", "ho capito", "certo" })
    want("backchannel", open, "pt", { "sim", "tá bom", "entendi", "está bem" })
    want("backchannel", open, nil, { "mhm", "ok", "aha" })
  end)

  it("are urgent when they say stop, no, or ask for a person", function()
    want("urgent", open, "en", { "stop", "no", "wait a second", "hold on", "I want a human", "okay but stop" })
    want("urgent", open, "de", { "stopp", "nein", "einen Moment", "ich will einen Mitarbeiter" })
    want("urgent", open, "es", { "espere", "no" })
    want("urgent", open, "fr", { "attendez", "non", "un instant" })
    want("urgent", open, "it", { "aspetti", "un attimo" })
    want("urgent", open, "pt", { "não", "espera" })
  end)

  it("are an answer when they answer what is asked", function()
    want("answer", yes_no, "en", { "yes", "no", "no thanks" })
    want("answer", digits(4), "en", { "four seven" })
    want("backchannel", digits(4), "en", { "oh", "okay" })
    want("backchannel", yes_no, "en", { "mm-hm" })
    local _, count, soft = reading.wants("yes please", yes_no, "en")
    assert.same({ 2, false }, { count, soft })
    _, _, soft = reading.wants("yes", yes_no, "en")
    assert.is_true(soft)
  end)

  it("are words otherwise, and counted", function()
    local what, count = reading.wants("What about Tuesday?", open, "en")
    assert.same({ "words", 3 }, { what, count })
    assert.same({ "none", 0 }, { reading.wants(" ... ", open, "en") })
  end)
end)

-- Said by who is about to be put through, or is wished a good day.
local GLAD = {
  en = { "", "okay", "mm-hm", "Yes please, thank you.", "alright thanks", "Thanks, bye bye!", "Have a nice day", "you too, goodbye", "thank you very much", "Thank you so much for your help.",
    "no problem", "No problem, thank you.", "no worries", "perfect", "wonderful, thanks", "sounds good", "very good", "that would be great", "okay I'll wait", "I'll hold", "I appreciate it",
    "Great, that's what I wanted.", "no, that's all, thank you", "thank you, that answers my question", "Okay?", "Hello?", "Thanks for watching!", "Subtitles by the Amara.org community",
    "human please", "of course, don't worry", "why not", "I can't thank you enough" },
  de = { "ja danke, tschüss", "Vielen Dank", "vielen Dank, auf Wiederhören", "besten Dank", "kein Problem", "in Ordnung", "einverstanden", "das ist nett", "danke schön",
    "machen Sie das", "Aber gerne", "ich warte", "Haben Sie vielen Dank", "alles klar, keine Sorge", "noch einen schönen Tag", "Untertitel der Amara.org-Community", "Ich möchte mich bedanken." },
  es = { "vale gracias, hasta luego", "muchas gracias", "está bien", "no hay problema", "perfecto, gracias", "gracias a usted", "cómo no", "no se preocupe", "cuando quiera", "es todo lo que quería",
    "que tenga un buen día" },
  fr = { "merci, au revoir", "je vous remercie", "merci beaucoup", "pas de problème", "très bien merci", "pas de souci", "mais bien sûr", "avec plaisir", "c'est tout ce que je voulais",
    "Sous-titrage Société Radio-Canada" },
  it = { "grazie, arrivederci", "grazie mille", "tante grazie", "va benissimo", "nessun problema", "non c'è problema", "la ringrazio", "ma certo", "volevo ringraziarla", "posso aspettare" },
  pt = { "obrigado, tchau", "muito obrigado", "sem problema", "não tem problema", "tudo bem", "está bem, obrigado", "pois não", "posso esperar", "era o que eu queria" },
  nl = { "ja", "Dank u wel.", "ja graag", "tot ziens hoor, dank u wel", "oké?" },
  pl = { "dobrze, dziękuję bardzo", "no dobrze" },
}
local OBJECTS = {
  en = { "no wait", "no", "wait", "one more thing", "what does it cost", "okay but the price", "No, wait.", "actually I have another question", "stop", "I did not mean that", "I didn't mean that",
    "hold on", "no thank you", "thanks, but I want to know the price first", "Thank you. How long does it take?", "not him", "I'd like something else", "can you repeat that", "wrong number",
    "Thanks, and the opening hours?", "thank you very much but wait", "no problem, but what about Tuesday", "excuse me", "never mind", "I forgot something", "please don't",
    "tell me the prices first" },
  de = { "nein moment noch", "nein", "halt", "Moment", "warten Sie", "ich habe noch eine Frage", "das meinte ich nicht", "vielen Dank, aber was kostet das", "wie lange dauert das", "lieber nicht",
    "Danke. Und die Preise?", "kein Problem, aber wann" },
  es = { "espere", "no, espere", "un momento", "tengo otra pregunta", "no quería eso", "¿cuánto cuesta?", "gracias, pero cuánto cuesta", "¿Y los precios?" },
  fr = { "non attendez", "attendez", "un instant", "j'ai une autre question", "ce n'est pas ça", "merci, mais combien ça coûte", "quand ouvrez-vous", "Et les prix ?" },
  it = { "no aspetti", "un attimo", "ho un'altra domanda", "non volevo questo", "quanto costa", "grazie, ma quanto costa", "E i prezzi?" },
  pt = { "não espere", "espera", "um momento", "tenho outra pergunta", "não era isso", "quanto custa", "obrigado, mas quanto custa", "E os preços?" },
  nl = { "stop", "Wat kost het dan?" },
}

describe("words of a caller who is about to be left", function()
  local function each(texts, fn)
    for language, list in pairs(texts) do
      for _, text in ipairs(list) do fn(text, language) end
    end
  end

  it("hold it up when they object", function()
    each(OBJECTS, function(text, language)
      assert.is_true(reading.objects(text, language, true, true), language .. ": " .. text)
      assert.is_true(reading.objects(text, language, true, false), language .. ": " .. text)
    end)
  end)

  -- "Thank you very much" was taken for something else that he wanted, and nobody was put through.
  it("do not when they are glad of it, say goodbye, or are none", function()
    each(GLAD, function(text, language)
      assert.is_false(reading.objects(text, language, true, true), language .. ": " .. text)
      if text ~= "human please" then assert.is_false(reading.objects(text, language, true, false), language .. ": " .. text) end
    end)
  end)

  it("hold up a goodbye, but nobody who is put through, when he talks on or asks for somebody", function()
    for text, language in pairs{ ["my roof is leaking since the storm"] = "en", ["human please"] = "en", ["mein Dach ist seit gestern undicht"] = "de", ["ein Mitarbeiter bitte"] = "de" } do
      assert.is_true(reading.objects(text, language, true, false), text)
      assert.is_false(reading.objects(text, language, true, true), text)
    end
    assert.is_false(reading.objects("mijn dak lekt al sinds gisteren", "nl", true, false))
  end)

  it("do not while they may still become what objects to nothing", function()
    for text, language in pairs{ ["no"] = "en", ["okay no"] = "en", ["thanks have a"] = "en", ["cómo"] = "es", ["kein"] = "de" } do
      assert.is_false(reading.objects(text, language, false, true), text)
    end
    assert.is_true(reading.objects("no wait", "en", false, true))
    assert.is_true(reading.objects("what does", "en", false, true))
    assert.is_true(reading.objects("no", "en", true, true))
  end)

  it("may be any bytes, of any length", function()
    assert.is_boolean(reading.objects(("\255?"):rep(100000), "en", true, true))
    assert.is_true(reading.objects(("thanks "):rep(100000) .. "wait", "en", true, true))
    assert.is_false(reading.objects(("?"):rep(100000), nil, true, true))
  end)
end)
