-- SPDX-License-Identifier: Apache-2.0
--- What a knowledge base is about, as it is said, and what a caller is likely to say where a local recogniser must be told. No I/O.
local sentences = require "kb.sentences"

local words = {}

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
--- @param word string  "and"
function words.listed(titles, most, word)
  local list = {}
  for i = 1, math.min(most, #titles) do list[i] = titles[i] end
  if #list < 2 then return list[1] end
  local last = table.remove(list)
  return table.concat(list, ", ") .. " " .. word .. " " .. last
end

return words
