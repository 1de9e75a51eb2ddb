-- SPDX-License-Identifier: Apache-2.0
--- What a prompt expects as a grammar (JSGF) and the dictionary of its words. No I/O: the model's dictionary comes in as text.
---
--- The decoder finds what is in the grammar and nothing else: whatever is said, the nearest of what is expected comes out, and it has no measure
--- of how near that is. (A way out for any other sounds, a loop of phones, won over everything a telephone brings.)
local grammar = {}

local PHRASES_MOST, WORDS_MOST, PHRASE_WORDS, DIGITS_MOST = 200, 400, 12, 32

local DIGITS = { zero = "0", one = "1", two = "2", three = "3", four = "4", five = "5", six = "6", seven = "7", eight = "8", nine = "9" }
local YES = { "yes", "yes please", "yeah", "yep", "sure", "okay", "correct", "right", "that's right", "of course" }
local NO = { "no", "no thanks", "no thank you", "nope", "not now", "wrong", "that's wrong" }

grammar.digits = DIGITS

-- Part of a dictionary that has the words of one first character: looked for once, for to read three megabytes for each word of each
-- utterance holds up everybody else.
local parts, parts_of = {}, nil

local function part_of(dictionary, character)
  if parts_of ~= dictionary then parts, parts_of = {}, dictionary end
  local part = parts[character]
  if not part then
    -- Its lines stand in the order of their first letters; what begins with another character stands before or behind these.
    local is_letter = character:find("^[a-y]$") ~= nil
    local from = dictionary:find("\n" .. character, 1, true)
    local stop = from and is_letter and dictionary:find("\n" .. string.char(character:byte() + 1), from, true)
    part = from and dictionary:sub(from, stop or -1) or ""
    parts[character] = part
  end
  return part
end

-- The lines of a word: several where it is said in several ways; nil: the dictionary does not have it.
local function lines_of(dictionary, word)
  local part = part_of(dictionary, word:sub(1, 1))
  local lines, at = {}, 1
  for _, name in ipairs{ word, word .. "(2)", word .. "(3)" } do
    local from, to = part:find("\n" .. name .. " ", at, true)
    if not from then break end
    lines[#lines + 1] = name .. " " .. part:match("^([^\n]*)", to + 1)
    at = from
  end
  return #lines > 0 and lines or nil
end

local function words_of(phrase)
  local words = {}
  local plain = phrase:lower():gsub("[^%w'%s]", " ")
  for word in plain:gmatch("%S+") do words[#words + 1] = word end
  return words
end

--- @param expect table   { kind, phrases, most } of speech.recogniser
--- @param phrases table  words that are likely besides
--- @param dictionary string  lines of "word P H O N E S", with a line feed before the first
--- @return table|nil  { grammar, dictionary, sounds = number of ways }; nil: nothing that can be recognised is expected
function grammar.make(expect, phrases, dictionary)
  local ways, kept, words, count = {}, {}, {}, 0
  local function know(word)
    if words[word] == nil then
      local lines = count < WORDS_MOST and lines_of(dictionary, word)
      words[word] = lines ~= nil and lines ~= false
      if lines then
        count = count + 1
        for _, line in ipairs(lines) do kept[#kept + 1] = line end
      end
    end
    return words[word]
  end
  local function add(phrase)
    local list = words_of(phrase)
    if #list == 0 or #list > PHRASE_WORDS or #ways >= PHRASES_MOST then return end
    for _, word in ipairs(list) do
      if not know(word) then return end  -- one that cannot be pronounced spoils the whole phrase
    end
    local way = table.concat(list, " ")
    if not ways[way] then ways[#ways + 1], ways[way] = way, true end
  end
  if expect.kind == "yesno" then
    for _, list in ipairs{ YES, NO } do
      for _, phrase in ipairs(list) do add(phrase) end
    end
  end
  for _, list in ipairs{ expect.phrases or {}, phrases } do
    for _, phrase in ipairs(list) do add(phrase) end
  end
  local digits = expect.kind == "digits"
  if digits then
    for word in pairs(DIGITS) do digits = know(word) and digits end
  end
  if expect.kind ~= "digits" and expect.kind ~= "yesno" and #(expect.phrases or {}) + #phrases == 0 then return nil end
  if #ways == 0 and not digits then return nil end
  local out = { "#JSGF V1.0;", "grammar expected;", "public <expected> = <said>;" }
  local said = {}
  if digits then said[1] = "<digit>+" end
  for _, way in ipairs(ways) do said[#said + 1] = way end
  out[#out + 1] = "<said> = " .. table.concat(said, " | ") .. ";"
  if digits then out[#out + 1] = "<digit> = zero | one | two | three | four | five | six | seven | eight | nine;" end
  return { grammar = table.concat(out, "\n") .. "\n", dictionary = table.concat(kept, "\n") .. "\n" }
end

--- Text as a flow reads it: digits as figures where they were expected.
function grammar.written(list, expect)
  if expect.kind ~= "digits" then return table.concat(list, " ") end
  local out = {}
  for i, word in ipairs(list) do
    out[i] = DIGITS[word] or word
    if not DIGITS[word] then return table.concat(list, " ") end
  end
  local text = table.concat(out)
  return expect.most and #text > expect.most and text:sub(1, expect.most) or text:sub(1, DIGITS_MOST)
end

return grammar
