-- SPDX-License-Identifier: Apache-2.0
--- When a conversation is given to a human: asked for, angry (calls.talk.sentiment), not understood twice, a tool that does not work, a rule of
--- the tenant's script, no model that answers. Decisions only, no I/O.
local lexicon = require "voice.lexicon"
local reading = require "voice.reading"

local escalation = {}

--- So many turns in a row that were not understood.
escalation.MISSES = 2

-- Folded as voice.reading folds them. ALONE are the wish by themselves, in few words; ANY of them only behind one of the asking kind: "four
-- people" and "the agent of the cleaning product" ask for nobody.
local ALONE = {
  en = "human agent operator representative staff colleague",
  de = "mensch mitarbeiter mitarbeiterin berater beraterin",
  es = "humano agente operador operadora",
  fr = "humain agent conseiller conseillere operateur",
  it = "umano operatore operatrice addetto addetta collega",
  pt = "humano humana atendente operador operadora",
}
local ANY = {
  en = "person somebody someone people", de = "menschen person jemand jemanden jemandem", es = "persona alguien", fr = "personne quelquun",
  it = "persona qualcuno", pt = "pessoa alguem",
}
-- To talk with him: the noun within a few words behind it; in German it may come behind the noun.
local TALKING = {
  en = "speak talk connect transfer put", de = "sprechen reden verbinden verbinde", es = "hablar comunicar pasar paseme pongame", fr = "parler passer passez",
  it = "parlare parli passare passi passarmi collegare", pt = "falar conversar passar passe transferir transfira",
}
-- To have him; of ANY with nothing but LITTLE words between, else "I need a roof with room for five people" would ask for one.
local HAVING = {
  en = "get give want need", de = "will mochte brauche", es = "quiero necesito", fr = "veux voudrais besoin",
  it = "voglio vorrei bisogno", pt = "quero queria preciso",
}
local LITTLE = {
  en = "me us a an the to some another actual please through with", de = "mit einem einer einen eine ein den die bitte",
  es = "me a con un una el la por favor", fr = "a avec un une le la d de",
  it = "a con di un una uno il la lo per favore", pt = "a com de um uma o por favor",
}
-- Directly before the noun.
local REAL = { en = "real live", de = "echten richtigen echter echte", es = "real", fr = "vrai vraie", it = "vero vera", pt = "verdadeira real" }
-- What follows is not whom he wants: "I want to talk about two people".
local NOT_WHOM = { en = "about for", de = "uber fur", es = "sobre para", fr = "sur pour", it = "su sul sulla riguardo", pt = "sobre para" }
local FEW_WORDS = 3  -- "an agent please" needs no verb
local WITHIN = 6     -- "connect me with a customer service representative"
local BEHIND = 1     -- "mit einem Menschen sprechen"

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

-- Is the noun at that place asked for?
local function is_asked_for(list, at, is, lang)
  if is(REAL, list[at - 1]) then return true end
  if lang == "de" and is(TALKING, list[at + BEHIND]) then return true end
  local alone, near = is(ALONE, list[at]), true
  for i = at - 1, math.max(1, at - WITHIN), -1 do
    local word = list[i]
    if is(NOT_WHOM, word) then return false end
    if is(TALKING, word) or (alone or near) and is(HAVING, word) then return true end
    near = near and (is(LITTLE, word) or is(REAL, word))
  end
  return false
end

--- Does the caller ask for a human?
--- @param language string|nil  "en", "de-AT"; of one that is not known, or none, English is taken
function escalation.asks_for_human(text, language)
  local lang = lexicon.language(language) or "en"
  local function is(words, word) return set_of(words[lang])[word] == true end
  local list = {}
  for word in reading.fold(text):gmatch("%S+") do list[#list + 1] = word end
  for at, word in ipairs(list) do
    local alone = is(ALONE, word)
    if alone and #list <= FEW_WORDS then return true end
    if (alone or is(ANY, word)) and is_asked_for(list, at, is, lang) then return true end
  end
  return false
end

--- One more turn that was not understood, or that was: how many there are in a row now, and whether that is enough.
function escalation.missed(count, understood)
  if understood then return 0, false end
  count = count + 1
  return count, count >= escalation.MISSES
end

return escalation
