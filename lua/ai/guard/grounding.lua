-- SPDX-License-Identifier: Apache-2.0
--- Is what an answer says in the passages it was drawn from? Each sentence is held against all passages: its numbers must stand there,
--- and enough of its words. That finds what was made up, not what was put together wrongly: a person decides (ai.reviews). Pure.
local amounts = require "ai.guard.amounts"
local chunks = require "kb.chunks"
local sentences = require "kb.sentences"
local words = require "kb.words"

local grounding = {}

local MOST_BYTES, MOST_SENTENCES, MOST_TERMS = 32 * 1024, 200, 60
local LEAST_TERMS = 3  -- fewer words claim nothing: "You are welcome."
local SUPPORT = 0.5

local function set_of(passages)
  local terms, numbers = {}, {}
  for _, passage in ipairs(passages) do
    local text = (passage.heading or "") .. "\n" .. passage.text
    for _, term in ipairs(words.terms(text)) do terms[term] = true end
    for value in pairs(amounts.known(text)) do numbers[value] = true end
  end
  return terms, numbers
end

--- @param text string  the answer
--- @param passages table  list of { heading, text }; none: nothing can be said, and the result is nil
--- @param asked string|nil  what the caller said: words and numbers that were given need no other ground
--- @param support number|nil  the share of its words that a sentence needs
--- @return table|nil  { sentences = how many claim something, unsupported = list of { text, why = "number" | "words", share } }
function grounding.check(text, passages, asked, support)
  if not passages or #passages == 0 then return nil end
  local terms, numbers = set_of(passages)
  if asked then
    for _, term in ipairs(words.terms(asked)) do terms[term] = true end
    for value in pairs(amounts.known(asked)) do numbers[value] = true end
  end
  local result = { sentences = 0, unsupported = {} }
  for i, sentence in ipairs(sentences.of(chunks.plain(text:sub(1, MOST_BYTES)))) do
    if i > MOST_SENTENCES then break end
    local mine = words.terms(sentence, MOST_TERMS)
    local of_numbers = amounts.numbers(sentence)
    if not sentence:find("%?[\"')]*$") and (#mine >= LEAST_TERMS or next(of_numbers)) then
      result.sentences = result.sentences + 1
      local there, counted, missing = 0, 0, false
      for _, term in ipairs(mine) do
        counted = counted + 1
        if terms[term] then there = there + 1 end
      end
      for value in pairs(of_numbers) do missing = missing or not numbers[value] end
      local share = counted > 0 and there / counted or 0
      if missing or (counted >= LEAST_TERMS and share < (support or SUPPORT)) then
        result.unsupported[#result.unsupported + 1] = { text = sentence, why = missing and "number" or "words", share = share }
      end
    end
  end
  return result
end

return grounding
