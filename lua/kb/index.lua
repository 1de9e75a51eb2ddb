-- SPDX-License-Identifier: Apache-2.0
--- Search in the chunks of one knowledge base: Okapi BM25 (Robertson and Zaragoza 2009), held in memory. No I/O.
local words = require "kb.words"

local index = {}
index.__index = index

local K1, B = 1.2, 0.75
local HEADING = 2            -- a word of the heading counts so often
local QUERY_TERMS = 48       -- of a question that are looked at: as much work as anybody can ask for

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

--- The chunks that fit a question best, the best first: list of { chunk, score, share }. share: how much of what the question says is
--- in the chunk, 0 to 1.
function index:search(question, limit)
  local asked, terms, all_weight = {}, {}, 0
  for _, term in ipairs(words.terms(question, QUERY_TERMS)) do
    if not asked[term] then
      asked[term] = true
      terms[#terms + 1] = term
      all_weight = all_weight + self:weight(term)
    end
  end
  local scores, shares = {}, {}
  for _, term in ipairs(terms) do
    local list, weight = self.postings[term], self:weight(term)
    for i = 1, list and #list or 0, 2 do
      local number, count = list[i], list[i + 1]
      local longer = 1 - B + B * self.lengths[number] / self.mean
      scores[number] = (scores[number] or 0) + weight * count * (K1 + 1) / (count + K1 * longer)
      shares[number] = (shares[number] or 0) + weight
    end
  end
  local order = {}
  for number in pairs(scores) do order[#order + 1] = number end
  table.sort(order, function(a, b)
    if scores[a] ~= scores[b] then return scores[a] > scores[b] end
    return a < b
  end)
  local found = {}
  for i = 1, math.min(limit, #order) do
    local number = order[i]
    found[i] = { chunk = self.chunks[number], score = scores[number], share = math.min(1, shares[number] / all_weight) }
  end
  return found
end

return index
