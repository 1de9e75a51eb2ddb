-- SPDX-License-Identifier: Apache-2.0
--- What a knowledge base has of that which any business is asked for: "How much is it?" asks for what stands under "Prices", and has none of its words.
--- For who looks things up by words, and for a recogniser that finds nothing but what it is told. No I/O.
---
---   local known = topics.new(headings, language)   headings: list of texts as kb.headings gives them
---   known:asks()                                   what a caller may ask: list of texts, what the knowledge base has first
---   known:find(text, answer)                       answer = function(text) -> answer | nil (may wait): asked in the knowledge base's own words, too
local lexicon = require "voice.lexicon"
local reading = require "voice.reading"
local sentences = require "calls.talk.sentences"
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

local function set_of(text)
  local set = {}
  for word in text:gmatch("%S+") do set[word] = true end
  return set
end

local function make(list, conjunction)
  local of = { asking = set_of(list.asking), behind = list.behind and set_of(list.behind), conjunction = reading.fold(conjunction):match("%S+"), wishes = expanded(list.wishes) }
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
  made[tag] = made[tag] or make(usual_topics[tag], sentences.of(tag)["and"])
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

local function is_of_any(of, word)
  for _, topic in ipairs(of) do
    if has_word(topic, word) then return true end
  end
  return false
end

-- The words that say what a heading is about, one of each thing that stands in it side by side ("Shipping and returns"). Where the language has words that whatever only says
-- whose or for what stands behind, it is the last of a topic before these ("store hours", "hours of the store"), else the first ("Kosten der Lieferung").
local function heads_of(of, heading)
  local heads = {}
  for part in heading:gmatch("[^,;/&+]+") do
    local head, is_over = nil, false
    for word in reading.fold(part):gmatch("%S+") do
      if word == of.conjunction then
        heads[#heads + 1] = head
        head, is_over = nil, false
      else
        is_over = is_over or head ~= nil and (not of.behind or of.behind[word] == true)
        if not is_over and is_of_any(of, word) then head = word end
      end
    end
    heads[#heads + 1] = head
  end
  return heads
end

-- How many words of a text are of other topics, and how many of none.
local function counted(of, topic, folded)
  local foreign, others = 0, 0
  for word in folded:gmatch("%S+") do
    if not has_word(topic, word) then
      if is_of_any(of, word) then foreign = foreign + 1 else others = others + 1 end
    end
  end
  return foreign, others
end

-- What a heading ("Prices > Roof") is about, by the last of its parts that has a word of any topic: list of { topic, name = its words, foreign = how many are of other topics, there
-- and above, others = how many are of none, there and below }. Not of what only says whose or for what: "Store hours" and "Store > Hours" do not tell where the store is.
local function about(of, heading)
  local parts, list = {}, {}
  for part in (heading .. " > "):gmatch("(.-) > ") do parts[#parts + 1] = part end
  for at = #parts, 1, -1 do
    local heads = heads_of(of, parts[at])
    for _, topic in ipairs(heads[1] and of or {}) do
      local is_about = false
      for _, head in ipairs(heads) do is_about = is_about or has_word(topic, head) end
      if is_about then
        list[#list + 1] = { topic = topic, name = table.concat(parted(topic, reading.fold(parts[at])), " "),
          foreign = (counted(of, topic, reading.fold(table.concat(parts, " ", 1, at)))), others = select(2, counted(of, topic, reading.fold(table.concat(parts, " ", at)))) }
      end
    end
    if heads[1] then return list end
  end
  return list
end

--- @param language string|nil  of the headings and of the caller; of one that is not known, or none, English is taken
function topics.new(headings, language)
  local of, best = of_language(language), {}
  local self = setmetatable({ of = of, asking = of.asking, names = {}, lexicon = lexicon.of(lexicon.language(language) or "en") }, topics)
  for _, heading in ipairs(headings) do
    for _, one in ipairs(about(of, heading)) do
      local other = best[one.topic]
      if not other or one.foreign < other.foreign or one.foreign == other.foreign and one.others < other.others then
        best[one.topic], self.names[one.topic] = one, one.name
      end
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
