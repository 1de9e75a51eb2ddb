-- SPDX-License-Identifier: Apache-2.0
--- What we say of ourselves in a conversation, and what a caller is likely to say where a local recogniser must be told. No I/O.
local sentences = require "kb.sentences"

local words = {}

--- Where a tenant has written nothing of its own.
words.en = {
  greeting = "Hello. How can I help you?",
  again = "I am sorry, I lost you for a moment. Please say that again.",
  silence = "Are you still there?",
  unclear = "I am sorry, I did not understand that. Could you say it again?",
  no_reply = "I am sorry, that took too long. Could you say it again?",
  filler = { "One moment, please.", "I am still looking.", "Just a little longer." },
  human = "One moment, I will put you through to somebody.",
  upset = "I am sorry about that. I will put you through to somebody who can help.",
  broken = "I am sorry, something does not work on our side. I will put you through to somebody.",
  topics = "I can tell you about %s. Or say human, to speak to somebody.",
  no_topics = "Please say human, to speak to somebody.",
  unknown = "I am sorry, I do not know that.",
  which = "What would you like to know?",
  offer = "Shall we call you back about this?",
  filled = "Thank you, I have written that down.",
  confirm = "I have understood: %s. Is that right?",
  unclear_slot = "I am sorry, I did not get that.",
  number = "Please enter or say your phone number, and then press hash.",
  noted = "Thank you. We will call you back.",
  not_noted = "I am sorry, I could not write that down. I will put you through to somebody.",
  more = "Is there anything else?",
  goodbye = "Thank you for calling. Goodbye.",
  ["and"] = "and",
}

local PHRASES_MOST = 160
local TITLE_WORDS = 5
local FORMS = { "%s", "your %s", "the %s", "what are your %s", "what is your %s", "what about %s", "what about the %s", "tell me about %s", "tell me about your %s", "i have a question about %s" }
-- Words that stand alone are few: the shorter a phrase, the more sounds are like it.
local OWN = {
  "human", "operator", "speak to a human", "talk to a human", "i want to speak to a human", "speak to someone", "call me back", "please call me back",
  "that's all", "nothing else", "repeat that",
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
--- @param closed boolean|nil  yes or no is expected: what could be taken for that, or that for it, is left out
function words.phrases(titles, closed)
  local list, seen = {}, {}
  local function add(phrase)
    if seen[phrase] or #list >= PHRASES_MOST or closed and words_in(phrase) < 2 then return end
    seen[phrase] = true
    list[#list + 1] = phrase
  end
  for _, phrase in ipairs(OWN) do add(phrase) end
  -- The short forms of all before the long ones of any: there is room for so many.
  for _, form in ipairs(FORMS) do
    for _, title in ipairs(titles) do add(form:format(title)) end
  end
  return list
end

--- "prices, opening hours and warranty"
function words.listed(titles, most)
  local list = {}
  for i = 1, math.min(most, #titles) do list[i] = titles[i] end
  if #list < 2 then return list[1] end
  local last = table.remove(list)
  return table.concat(list, ", ") .. " " .. words.en["and"] .. " " .. last
end

return words
