-- SPDX-License-Identifier: Apache-2.0
--- Search in the chunks of one knowledge base: Okapi BM25 (Robertson and Zaragoza 2009), held in memory. No I/O.
local words = require "kb.words"

local index = {}
index.__index = index

local K1, B = 1.2, 0.75
local HEADING = 2            -- a word of the heading counts so often
local QUERY_TERMS = 48       -- of a question that are looked at
local MANY_CHUNKS = 200      -- of so many, a term that more than half have tells none from the others
local MOST_POSTINGS = 40000  -- of a question that are read, the rarest terms first: as much work as anybody can ask for

--- Builds an index.
--- @param chunks table  list as kb.chunks gives it; kept
--- @param step function|nil  told how many bytes have been read since it was last called; may wait
function index.new(chunks, step)
  step = step or function() end
  local postings, lengths, total = {}, {}, 0
  for number, chunk in ipairs(chunks) do
    local counts, length = {}, 0
    for _, term in ipairs(words.terms(chunk.text)) do
      counts[term] = (counts[term] or 0) + 1
      length = length + 1
    end
    for _, term in ipairs(words.terms(chunk.heading)) do
      counts[term] = (counts[term] or 0) + HEADING
      length = length + HEADING
    end
    for term, count in pairs(counts) do
      local list = postings[term]
      if not list then
        list = {}
        postings[term] = list
      end
      list[#list + 1] = number
      list[#list + 1] = count
    end
    lengths[number], total = length, total + length
    step(#chunk.text * 4)
  end
  return setmetatable({ chunks = chunks, postings = postings, lengths = lengths, mean = #chunks > 0 and math.max(1, total / #chunks) or 1 }, index)
end

--- How much it says that a text has the term: more for rare ones. One that no chunk has counts as the rarest that is there.
function index:weight(term)
  local list = self.postings[term]
  local having, all = list and #list / 2 or 1, math.max(1, #self.chunks)
  return math.log(1 + (all - having + 0.5) / (having + 0.5))
end

-- The terms of a question that are worth reading, the rarest first, and their weight. The first one always is.
function index:worth_reading(question)
  local asked, terms = {}, {}
  for _, term in ipairs(words.terms(question, QUERY_TERMS)) do
    if not asked[term] then
      asked[term] = self.postings[term] and #self.postings[term] / 2 or 0
      terms[#terms + 1] = term
    end
  end
  table.sort(terms, function(a, b)
    if asked[a] ~= asked[b] then return asked[a] < asked[b] end
    return a < b
  end)
  local all, taken, any, read, weight = #self.chunks, {}, false, 0, 0
  for _, term in ipairs(terms) do
    local having = asked[term]
    local told = all < MANY_CHUNKS or having <= all / 2
    if not any or having == 0 or (told and read + having <= MOST_POSTINGS) then
      any, read, weight = any or having > 0, read + having, weight + self:weight(term)
      taken[#taken + 1] = term
    end
  end
  return taken, weight
end

-- The numbers with the highest scores, the highest first, in one pass: nobody needs all of them in order.
local function best_of(scores, limit)
  local best = {}
  if limit < 1 then return best end
  for number, score in pairs(scores) do
    local place = #best + 1
    while place > 1 do
      local other = best[place - 1]
      if scores[other] > score or (scores[other] == score and other < number) then break end
      place = place - 1
    end
    if place <= limit then
      table.insert(best, place, number)
      best[limit + 1] = nil
    end
  end
  return best
end

--- The chunks that fit a question best, the best first: list of { chunk, score, share }. share: how much of what the question says is
--- in the chunk, 0 to 1; of terms that most of many chunks have nothing is said.
function index:search(question, limit)
  local terms, all_weight = self:worth_reading(question)
  local scores, shares, lengths, shortest, longer_by = {}, {}, self.lengths, K1 * (1 - B), K1 * B / self.mean
  for _, term in ipairs(terms) do
    local list, weight = self.postings[term], self:weight(term)
    for i = 1, list and #list or 0, 2 do
      local number, count = list[i], list[i + 1]
      scores[number] = (scores[number] or 0) + weight * count * (K1 + 1) / (count + shortest + longer_by * lengths[number])
      shares[number] = (shares[number] or 0) + weight
    end
  end
  local found = {}
  for i, number in ipairs(best_of(scores, limit)) do
    found[i] = { chunk = self.chunks[number], score = scores[number], share = math.min(1, shares[number] / all_weight) }
  end
  return found
end

return index
