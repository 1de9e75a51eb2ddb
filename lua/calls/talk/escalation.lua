-- SPDX-License-Identifier: Apache-2.0
--- When a conversation is given to a human: asked for, not understood twice, a tool that does not work, no model that answers.
--- Decisions only, no I/O.
local reading = require "voice.reading"

local escalation = {}

--- Why, as a script hears it in result.why.
escalation.WHYS = { asked_for = true, not_understood = true, tool_failed = true, no_answer = true, transfer = true }
--- So many turns in a row that were not understood.
escalation.MISSES = 2

-- Folded as voice.reading folds them. Alone they are the wish; among other words only behind one of the asking kind, for "the agent
-- of the cleaning product" asks for nobody.
local PEOPLE = {
  en = "human agent operator representative person somebody someone staff colleague people",
  de = "mensch menschen mitarbeiter mitarbeiterin berater beraterin person jemand",
  es = "persona humano agente operador operadora alguien",
  fr = "humain personne agent conseiller conseillere operateur",
}
local ASKING = {
  en = "speak talk connect transfer put get want need give real live",
  de = "sprechen reden verbinden verbinde will mochte brauche echten richtigen",
  es = "hablar comunicar pasar paseme quiero necesito pongame",
  fr = "parler passer passez veux voudrais besoin",
}
local FEW_WORDS = 3  -- "an agent please" needs no verb

local sets = {}
local function set_of(text)
  local set = sets[text]
  if not set then
    set = {}
    for word in text:gmatch("%S+") do set[word] = true end
    sets[text] = set
  end
  return set
end

--- Does the caller ask for a human?
--- @param language string  "en", "de-AT"; of one that is not known English is taken
function escalation.asks_for_human(text, language)
  local lang = (language or "en"):match("^%a+"):lower()
  local people, asking = set_of(PEOPLE[lang] or PEOPLE.en), set_of(ASKING[lang] or ASKING.en)
  local named, asked, count = false, false, 0
  for word in reading.fold(text):gmatch("%S+") do
    count = count + 1
    named, asked = named or people[word] == true, asked or asking[word] == true
  end
  return named and (asked or count <= FEW_WORDS)
end

--- One more turn that was not understood, or that was: how many there are in a row now, and whether that is enough.
function escalation.missed(count, understood)
  if understood then return 0, false end
  count = count + 1
  return count, count >= escalation.MISSES
end

return escalation
