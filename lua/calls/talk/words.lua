-- SPDX-License-Identifier: Apache-2.0
--- What a knowledge base is about, as it is said, and what a caller is likely to say where a local recogniser must be told. No I/O.
local lexicon = require "voice.lexicon"
local sentences = require "kb.sentences"

local words = {}

local PHRASES_MOST, SENTENCES_MOST = 160, 600
local TITLE_WORDS = 5
local FORMS = {
  de = { "%s", "was ist mit %s", "ich habe eine frage zu %s" },
  en = { "%s", "your %s", "the %s", "what are your %s", "what is your %s", "what about %s", "what about the %s", "tell me about %s", "tell me about your %s", "i have a question about %s" },
  es = { "%s", "qué hay de %s", "tengo una pregunta sobre %s" },
  fr = { "%s", "vos %s", "j'ai une question sur %s" },
  it = { "%s", "ho una domanda su %s" },
  pt = { "%s", "tenho uma pergunta sobre %s" },
}
-- The same for a recogniser that finds nothing but whole sentences, those first that are said most: here even "the" for "your" is another one.
local FRAMES = {
  de = { "haben sie %s", "%s bitte", "was ist mit ihren %s", "sagen sie mir etwas über %s", "ich möchte etwas über %s wissen", "es geht um %s" },
  en = { "do you have %s", "what about your %s", "can you tell me about your %s", "what are the %s", "what is the %s", "i want to know about your %s",
    "can you tell me about %s", "i have a question about your %s", "tell me your %s", "is there a %s", "do you have a %s", "how about %s", "what's your %s",
    "what's the %s", "i want to know about %s", "could you tell me about your %s", "could you tell me about %s", "can you tell me your %s", "tell me about the %s",
    "tell me the %s", "tell me more about %s", "tell me more about your %s", "i want to know your %s", "i would like to know about %s",
    "i would like to know about your %s", "i would like to know your %s", "i'd like to know about your %s", "i need to know your %s",
    "i need information about %s", "i would like information about %s", "i have a question about the %s", "i'm calling about %s", "i'm calling about your %s" },
  es = { "%s por favor", "tienen %s", "dígame algo sobre %s", "quisiera saber algo sobre %s", "quiero información sobre %s" },
  fr = { "%s s'il vous plaît", "avez-vous %s", "parlez-moi de %s", "je voudrais savoir quelque chose sur %s", "je voudrais des informations sur %s" },
  it = { "%s per favore", "avete %s", "mi parli di %s", "vorrei sapere qualcosa su %s", "vorrei informazioni su %s" },
  pt = { "%s por favor", "vocês têm %s", "fale-me sobre %s", "queria saber sobre %s", "quero informações sobre %s" },
}

-- Words that stand alone are few: the shorter a phrase, the more sounds are like it. The one that calls.talk.sentences tells him to say for a human is the first.
local OWN = {
  de = { "mitarbeiter", "mit einem mitarbeiter sprechen", "ich möchte mit einem mitarbeiter sprechen", "mit jemandem sprechen", "rufen sie mich zurück", "bitte rufen sie mich zurück",
    "das ist alles", "auf wiederhören" },
  en = { "human", "operator", "speak to a human", "talk to a human", "i want to speak to a human", "speak to someone", "call me back", "please call me back",
    "that's all", "nothing else", "repeat that", "hello", "hello are you there", "hello is anybody there" },
  es = { "agente", "operador", "hablar con un agente", "quiero hablar con una persona", "hablar con alguien", "llámeme", "llámeme por favor", "eso es todo", "nada más" },
  fr = { "conseiller", "parler à un conseiller", "je voudrais parler à un conseiller", "parler à quelqu'un", "rappelez-moi", "rappelez-moi s'il vous plaît", "c'est tout", "au revoir" },
  it = { "operatore", "parlare con un operatore", "vorrei parlare con un operatore", "parlare con qualcuno", "mi richiami", "mi richiami per favore", "è tutto", "arrivederci" },
  pt = { "atendente", "falar com um atendente", "quero falar com um atendente", "falar com alguém", "ligue de volta", "ligue de volta por favor", "é tudo", "mais nada" },
}

-- The last part of "Prices > Roof: what it costs", as it is said; nil when that is a sentence and no title.
local function title_of(heading)
  local last = heading:match("([^>]*)$"):gsub("[^%w'%s%-\128-\255]", " "):gsub("%-", " ")
  local title, count = sentences.trim((last:gsub("%s+", " "))):lower(), 0
  for _ in title:gmatch("%S+") do count = count + 1 end
  return count >= 1 and count <= TITLE_WORDS and title or nil
end

--- What a knowledge base is about, to be said: its titles, each once.
--- @param headings table  list of texts as kb.headings gives them
function words.titles(headings)
  local list, seen = {}, {}
  for _, heading in ipairs(headings) do
    local title = title_of(heading)
    if title and not seen[title] then
      seen[title] = true
      list[#list + 1] = title
    end
  end
  return list
end

local function words_in(phrase) return select(2, phrase:gsub("%S+", "")) end

--- What a caller may say to it: phrases for a recogniser with a grammar.
--- @param language string|nil  of which they are; of one that is not known, or none, English
--- @param closed boolean|nil  yes or no is expected: what could be taken for that, or that for it, is left out
function words.phrases(titles, language, closed)
  local list, seen, tag = {}, {}, lexicon.language(language) or "en"
  local function add(phrase)
    if seen[phrase] or #list >= PHRASES_MOST or closed and words_in(phrase) < 2 then return end
    seen[phrase] = true
    list[#list + 1] = phrase
  end
  for _, phrase in ipairs(OWN[tag]) do add(phrase) end
  -- The short forms of all before the long ones of any: there is room for so many.
  for _, form in ipairs(FORMS[tag]) do
    for _, title in ipairs(titles) do add(form:format(title)) end
  end
  return list
end

--- The rest of what he may say, for a recogniser that finds nothing but what it is told.
--- @param asks table  list of texts (calls.talk.topics)
--- @param closed boolean|nil  as of words.phrases
function words.sentences(titles, asks, language, closed)
  local list, tag = {}, lexicon.language(language) or "en"
  local function add(sentence)
    if #list < SENTENCES_MOST and not (closed and words_in(sentence) < 2) then list[#list + 1] = sentence end
  end
  for _, ask in ipairs(asks) do add(ask) end
  for _, frame in ipairs(FRAMES[tag]) do
    for _, title in ipairs(titles) do add(frame:format(title)) end
  end
  return list
end

--- "prices, opening hours and warranty"
--- @param word string  "and"
function words.listed(titles, most, word)
  local list = {}
  for i = 1, math.min(most, #titles) do list[i] = titles[i] end
  if #list < 2 then return list[1] end
  local last = table.remove(list)
  return table.concat(list, ", ") .. " " .. word .. " " .. last
end

return words
