-- SPDX-License-Identifier: Apache-2.0
--- Who asks for a human, and who only speaks of people.
local escalation = require "calls.talk.escalation"

local function all(expected, language, texts)
  for _, text in ipairs(texts) do assert.equal(expected, escalation.asks_for_human(text, language), text) end
end

describe("a caller who wants a human", function()
  it("is understood in few words and in many", function()
    all(true, "en", {
      "agent", "human please", "an operator please", "I want to speak to a person", "speak to someone", "get me a real person", "a real person", "can I talk to somebody",
      "could you please put me through to a person", "I need a human", "give me somebody real, I want a live agent", "I want to talk to one of your staff",
      "connect me with a customer service representative", "I would rather have a live person on the line", "I need to speak with a real human being please",
      "I need someone to talk to", "I want a sales representative now",
    })
    all(true, "de-AT", {
      "Mitarbeiter bitte", "Ich möchte mit einem Menschen sprechen", "Verbinden Sie mich bitte mit einer Person", "kann ich bitte mit jemandem reden",
      "Ich will einen echten Menschen", "ich brauche einen Berater am Telefon",
    })
    all(true, "es", { "operador por favor", "quiero hablar con una persona", "necesito un agente de verdad ahora", "páseme con alguien" })
    all(true, "fr", { "un conseiller", "je voudrais parler à une personne", "passez-moi un agent s'il vous plaît", "j'ai besoin d'un conseiller tout de suite" })
    for _, language in ipairs{ "xx", "1", "" } do all(true, language, { "operator" }) end
  end)

  it("was heard in ordinary answers that have people in them", function()
    all(false, "en", {
      "Four people", "two people", "one person", "somebody else", "we are five people and need a bigger roof", "how many people can live there",
      "I need a roof for five people", "I want a table for two people", "I need a roof with room for five people", "I want to talk about two people", "my wife and I need two people less",
      "someone told me you give discounts", "is the person real who I get",
      "the agent of the cleaning product", "my colleague told me to get a quote from you", "people live there and I want it quiet", "",
    })
    all(false, "de", { "vier Menschen", "eine Person", "wir sind fünf Menschen und ich brauche ein Dach" })
    all(false, "es", { "una persona", "somos una persona y necesito un techo" })
    all(false, "fr", { "une personne", "il n'y a personne et je voudrais un toit" })
  end)
end)
