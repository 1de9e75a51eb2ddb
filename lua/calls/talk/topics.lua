-- SPDX-License-Identifier: Apache-2.0
--- What a knowledge base has of that which any business is asked for: "How much is it?" asks for what stands under "Prices", and has none of its words.
--- For who looks things up by words, and for a recogniser that finds nothing but what it is told. No I/O.
---
---   local known = topics.new(headings, language)   headings: list of texts as kb.headings gives them
---   known:asks()                                   what a caller may ask: list of texts, what the knowledge base has first
---   known:find(text, answer)                       answer = function(text) -> answer | nil (may wait): asked in the knowledge base's own words, too
local lexicon = require "voice.lexicon"
local reading = require "voice.reading"
local usual_topics = require "calls.talk.usual_topics"

local topics = {}
topics.__index = topics

-- "how (do|can) i pay" -> "how do i pay", "how can i pay".
local function expand(text, add)
  local before, ways, behind = text:match("^(.-)%(([^()]*)%)(.*)$")
  if not before then return add((text:gsub("%s+", " "):gsub("%s+$", ""))) end
  for way in (ways .. "|"):gmatch("([^|]*)|") do expand(before .. way .. behind, add) end
end

-- What a list of such texts stands for, each once.
local function expanded(text)
  local list, seen = {}, {}
  for ask in text:gmatch("[^;]+") do
    expand(ask, function(one)
      if not seen[one] then list[#list + 1] = one end
      seen[one] = true
    end)
  end
  return list
end

local function make(list)
  local of = { asking = {}, wishes = expanded(list.wishes) }
  for word in list.asking:gmatch("%S+") do of.asking[word] = true end
  for i, topic in ipairs(list) do
    -- phrases: what in a question asks for it, the longest first, for that says most; words and starts: what only may.
    local made = { words = {}, starts = {}, asks = expanded(topic.asks), phrases = {} }
    for word in topic.words:gmatch("%S+") do
      if word:find("_", 1, true) then made.phrases[#made.phrases + 1] = " " .. word:gsub("_", " ") .. " "
      elseif word:sub(-1) == "*" then made.starts[#made.starts + 1] = word:sub(1, -2)
      else made.words[word] = true end
    end
    for _, ask in ipairs(made.asks) do made.phrases[#made.phrases + 1] = reading.fold(ask) end
    table.sort(made.phrases, function(a, b) return #a > #b end)
    of[i] = made
  end
  return of
end

local made = {}

local function of_language(language)
  local tag = lexicon.language(language) or "en"
  made[tag] = made[tag] or make(usual_topics[tag])
  return made[tag]
end

local function has_word(topic, word)
  if topic.words[word] then return true end
  for _, start in ipairs(topic.starts) do
    if word:sub(1, #start) == start then return true end
  end
  return false
end

-- A folded text's words that are of a topic, and the others.
local function parted(topic, folded)
  local own, others = {}, {}
  for word in folded:gmatch("%S+") do
    local to = has_word(topic, word) and own or others
    to[#to + 1] = word
  end
  return own, others
end

--- @param language string|nil  of the headings and of the caller; of one that is not known, or none, English is taken
function topics.new(headings, language)
  local of = of_language(language)
  local self = setmetatable({ of = of, asking = of.asking, names = {}, lexicon = lexicon.of(lexicon.language(language) or "en") }, topics)
  for _, heading in ipairs(headings) do
    local folded = reading.fold(heading)
    for _, topic in ipairs(self.of) do
      local own = not self.names[topic] and parted(topic, folded)
      if own and own[1] then self.names[topic] = table.concat(own, " ") end
    end
  end
  return self
end

--- What a caller may ask or wish: what the knowledge base has something of, and then the rest. Who asks for that is understood, too, and told that it is not known.
function topics:asks()
  local list = { unpack(self.of.wishes) }
  for _, is_known in ipairs{ true, false } do
    for _, topic in ipairs(self.of) do
      if (self.names[topic] ~= nil) == is_known then
        for _, ask in ipairs(topic.asks) do list[#list + 1] = ask end
      end
    end
  end
  return list
end

-- The topic that a question asks for by one of its phrases, and the question without that. Of two the longer phrase: "how do i cancel my booking".
local function asked_for(self, folded)
  local best, rest, found
  for _, topic in ipairs(self.of) do
    for _, phrase in ipairs(topic.phrases) do
      local at = (not found or #phrase > #found) and folded:find(phrase, 1, true)
      if at then
        best, rest, found = topic, folded:sub(1, at) .. folded:sub(at + #phrase), phrase
        break
      end
    end
  end
  return best, rest
end

-- Without what is said to be kind, while one thinks, or to say that one asks.
local function bare(self, folded)
  local of, list = self.lexicon, {}
  for word in folded:gmatch("%S+") do
    if not (self.asking[word] or of.assent.words[word] or of.filler.words[word]) then list[#list + 1] = word end
  end
  return table.concat(list, " ")
end

local function with(name, rest) return rest == "" and name or name .. " " .. rest end

-- What a question may be looked up as, the nearest first.
local function ways(self, text)
  local list, seen = {}, { [""] = true }
  local function add(way)
    if seen[way] then return end
    seen[way] = true
    list[#list + 1] = way
  end
  local folded = reading.fold(text)
  local topic, rest = asked_for(self, folded)
  local name = topic and self.names[topic]
  if name then
    add(with(name, bare(self, folded)))
    add(with(name, bare(self, rest)))
  end
  add(text)
  add(bare(self, folded))
  for _, other in ipairs(self.of) do
    local own, others = parted(other, folded)
    if own[1] and self.names[other] then add(with(self.names[other], bare(self, table.concat(others, " ")))) end
  end
  return list
end

--- The answer to a question, or nil. May wait.
function topics:find(text, answer)
  for _, way in ipairs(ways(self, text)) do
    local found = answer(way)
    if found then return found end
  end
end

return topics
