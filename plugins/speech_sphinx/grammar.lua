-- SPDX-License-Identifier: Apache-2.0
--- What a prompt expects as a grammar (a finite state grammar of Sphinx) and the dictionary of its words. No I/O: the model's dictionary comes in as text.
---
--- The decoder finds what is in the grammar and nothing else: whatever is said, the nearest of what is expected comes out, and it has no measure
--- of how near that is. So where sentences are expected there is a way out for any other sounds, a loop of phones. Each phone of it is dear: a loop that
--- is cheap wins over everything a telephone brings. Where nothing but digits is expected, or yes or no, there is none.
local graph = require "plugins.speech_sphinx.graph"

local grammar = {}

local PHRASES_MOST, WORDS_MOST, PHRASE_WORDS, DIGITS_MOST = 800, 800, 12, 32

-- Of its phrases: for each word (of one letter, 16 bytes) there is a way out of 20 besides, and the phones are 8 KB. It is an argument of a program, of 128 KiB at most.
local GRAMMAR_BYTES = 48 * 1024
local NEAR_BYTES, FOUND_MOST = 512, 5000  -- of the dictionary: other ways to say a word stand so near behind it; words that are kept

-- How likely a phone is where anything is said, how likely anything follows what a sentence begins with, and in how many phones at least; the decoder takes
-- the first two to the power of 6.5. Four synthetic voices, each with sentences that are expected and such as are not: of the first 96 % are heard as what they
-- are, and of the second 10 % as one of them. With two times the first and no third it was 81 % and 0 %; without the way behind beginnings 92 % and 23 %;
-- without any way out 94 % and 68 %.
local PHONE, GIVEN_UP, REST_PHONES = 0.015, 0.0001, 6
-- No word of a dictionary or of a phrase has an underscore.
local ANY = "any_"
local PHONES = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"

-- How likely a digit is: where each one is certain, noise becomes more of them.
local DIGIT = 0.1
local DIGITS = { zero = "0", one = "1", two = "2", three = "3", four = "4", five = "5", six = "6", seven = "7", eight = "8", nine = "9" }
local YES = { "yes", "yes please", "yes that's right", "yes that is right", "that is right", "yes of course", "yes correct",
  "yes sure", "yeah", "yep", "sure", "okay", "correct", "right", "that's right", "of course" }
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

-- The lines of a word: several where it is said in several ways; false: the dictionary does not have it.
local function lines_of(dictionary, word)
  local part = part_of(dictionary, word:sub(1, 1))
  local from, to = part:find("\n" .. word .. " ", 1, true)
  if not from then return false end
  local lines, near = { word .. " " .. part:match("^([^\n]*)", to + 1) }, part:sub(from, from + NEAR_BYTES)
  for _, name in ipairs{ word .. "(2)", word .. "(3)" } do
    local _, last = near:find("\n" .. name .. " ", 1, true)
    if not last then break end
    lines[#lines + 1] = name .. " " .. near:match("^([^\n]*)", last + 1)
  end
  return lines
end

-- The same, of words that were looked for before: each utterance of a conversation has the same ones.
local found, found_count, found_of = {}, 0, nil

local function known_lines(dictionary, word)
  if found_of ~= dictionary or found_count >= FOUND_MOST then found, found_count, found_of = {}, 0, dictionary end
  if found[word] == nil then found[word], found_count = lines_of(dictionary, word), found_count + 1 end
  return found[word]
end

local function words_of(phrase)
  local words = {}
  local plain = phrase:lower():gsub("[^%w'%s]", " ")
  for word in plain:gmatch("%S+") do words[#words + 1] = word end
  return words
end

--- @param expect table   { kind, phrases, sentences, most } of speech.recogniser
--- @param phrases table  words that are likely besides
--- @param dictionary string  lines of "word P H O N E S", with a line feed before the first
--- @return table|nil  { grammar, dictionary }; nil: nothing that can be recognised is expected
function grammar.make(expect, phrases, dictionary)
  local arcs, ways, kept, words, count = graph.new(), {}, {}, {}, 0
  local function know(word)
    if words[word] == nil then
      local lines = count < WORDS_MOST and known_lines(dictionary, word)
      words[word] = lines ~= false
      if lines then
        count = count + 1
        for _, line in ipairs(lines) do kept[#kept + 1] = line end
      end
    end
    return words[word]
  end
  local function add(phrase)
    local list = words_of(phrase)
    if #list == 0 or #list > PHRASE_WORDS or #ways >= PHRASES_MOST or arcs.bytes >= GRAMMAR_BYTES then return end
    for _, word in ipairs(list) do
      if not know(word) then return end  -- one that cannot be pronounced spoils the whole phrase
    end
    local way = table.concat(list, " ")
    if ways[way] then return end
    ways[#ways + 1], ways[way] = way, true
    arcs:add_way(way)
  end
  if expect.kind == "yesno" then
    for _, list in ipairs{ YES, NO } do
      for _, phrase in ipairs(list) do add(phrase) end
    end
  end
  for _, list in ipairs{ expect.phrases or {}, phrases, expect.sentences or {} } do
    for _, phrase in ipairs(list) do add(phrase) end
  end
  local digits = expect.kind == "digits"
  if digits then
    for word in pairs(DIGITS) do digits = know(word) and digits end
  end
  if expect.kind ~= "digits" and expect.kind ~= "yesno" and #(expect.phrases or {}) + #(expect.sentences or {}) + #phrases == 0 then return nil end
  if #ways == 0 and not digits then return nil end
  if digits then arcs:add_loop(DIGITS, DIGIT) end
  if not digits and (expect.kind ~= "yesno" or expect.sentences) then
    local phones = {}
    for phone in PHONES:gmatch("%S+") do
      phones[ANY .. phone:lower()] = true
      kept[#kept + 1] = ANY .. phone:lower() .. " " .. phone
    end
    if know("please") then arcs:add_tail("please") end
    arcs:add_loop(phones, PHONE, GIVEN_UP, REST_PHONES)
  end
  return { grammar = arcs:text(), dictionary = table.concat(kept, "\n") .. "\n" }
end

--- Is a word that came out none of what was expected? Such ones are the last of their utterance.
function grammar.is_other(word) return word:sub(1, #ANY) == ANY end

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
