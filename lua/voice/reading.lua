-- SPDX-License-Identifier: Apache-2.0
--- What a text, as far as it has come, says of its speaker: has he ended, is it a closed answer, does he want the floor at all?
--- Takes any bytes. Long texts are judged by their end.
local lexicon = require "voice.lexicon"
local words = require "kb.words"

local reading = {}

local MOST_BYTES = 600  -- of the end of a text that is judged
local SENTENCE_END = { ["."] = true, ["!"] = true, ["?"] = true }
-- 。 ！ ？ ؟ । and …
local WIDE_END = { ["\227\128\130"] = true, ["\239\188\129"] = true, ["\239\188\159"] = true, ["\216\159"] = true, ["\224\165\164"] = true }
local WIDE_QUESTION = { ["\239\188\159"] = true, ["\216\159"] = true }
local MORE_WORDS = 4  -- that are neither assent nor politeness: he talks on
local ELLIPSIS = "\226\128\166"

--- The folded words of a text, or of its end, with one space around each: " dont know ". "" when there is none.
--- @param most number|nil  bytes
function reading.fold(text, most)
  -- Apostrophes go without a trace: "don't" is one word in every keyboard's form.
  local folded = words.fold((text:sub(-(most or MOST_BYTES)):gsub("\226\128[\152\153]", ""):gsub("['`]", "")))
  local list = {}
  for word in folded:gmatch("[%w\128-\255]+") do list[#list + 1] = word end
  if #list == 0 then return "" end
  return " " .. table.concat(list, " ") .. " "
end

--- How many words there are, at most as many as are judged.
function reading.count(text)
  local _, spaces = reading.fold(text):gsub(" ", "")
  return math.max(0, spaces - 1)
end

-- How many digits each word stands for: a list of counts, 0 for words that are none, "unit" for those that are part of the number before:
-- "twenty one" is two, "double five" is two, and so are "treinta y uno", "einundzwanzig" and "quatre-vingt-dix-sept". Rather too few than too
-- many: who is thought to have given all his digits is not waited for.
local function digits_of(folded, numbers)
  local list, pending = {}, 1
  local before
  local tens, sixty = false, false  -- what came before takes a unit; it takes "douze", too
  for word in folded:gmatch("%S+") do
    local digit, two = numbers.digit[word], numbers.two[word] == true
    local joins = tens and numbers.joins[word] == true
    local scale = numbers.scales[word] and #list > 0 and list[#list] ~= 0
    local eighty = numbers.twenties[word] and before == "quatre"
    if (tens and ((digit and digit ~= "0") or joins)) or (sixty and numbers.teens[word]) or scale then
      list[#list + 1] = "unit"
    elseif eighty then  -- one digit has been counted for "quatre"
      list[#list + 1] = 1
    else
      local compound = numbers.two[word:match("^%a+und(%a+)$") or ""]
      list[#list + 1] = word:find("^%d+$") and #word or digit and pending or (two or compound) and 2 or 0
    end
    tens, sixty = two or joins, eighty or word == "soixante"
    pending, before = numbers.times[word] or 1, word
  end
  return list
end

--- How many digits were spoken in a text.
function reading.digits(text, language)
  local sum = 0
  for _, count in ipairs(digits_of(reading.fold(text), lexicon.of(language).numbers)) do
    if count ~= "unit" then sum = sum + count end
  end
  return sum
end

-- Ends the text in the middle of a number: two words of digits, or a group of three and more?
local function ends_in_number(folded, numbers)
  local last = folded:match("(%S+) $")
  if not last then return false end
  if numbers.times[last] then return true end
  local list = digits_of(folded, numbers)
  local n = #list
  if list[n] == 0 then return false end
  return #last >= 3 and last:find("^%d+$") ~= nil or (n > 1 and list[n - 1] ~= 0)
end

local function ends_in_letters(folded)
  local before, last = folded:match("(%S+) (%S+) $")
  return last ~= nil and #last == 1 and (#before == 1 or before == "for" or before == "wie" or before == "as")
end

-- "sentence" when the text ends with its mark, "open" after a comma, a dash or dots, or nil.
local function mark_of(text)
  local tail = text:sub(-24):gsub("[%s\"')%]]+$", "")
  if tail:find("%.%.$") or tail:sub(-3) == ELLIPSIS or tail:find("[,:;%-]$") then return "open" end
  if SENTENCE_END[tail:sub(-1)] or WIDE_END[tail:sub(-3)] or WIDE_END[tail:sub(-2)] then return "sentence" end
  return nil
end

-- "yes please", "no it is not": one of yes or no at least, and nothing but these and what is polite.
local function is_closed_answer(folded, of)
  return (lexicon.has(of.yes, folded) or lexicon.has(of.no, folded)) and lexicon.only(of.closed, folded)
end

local function of_digits(folded, expect, of)
  local sum = 0
  for _, count in ipairs(digits_of(folded, of.numbers)) do
    if count ~= "unit" then sum = sum + count end
  end
  local last = folded:match("(%S+) $")
  if expect.count and sum >= expect.count and not of.numbers.times[last] then return "answer" end
  if lexicon.ends(of.closing, folded) then return "answer" end
  if sum > 0 then return "number" end
  return nil
end

--- How a text ends:
---   "none"      there is no word in it
---   "answer"    it answers the question: yes or no, all the digits asked for, "that's it"
---   "number", "letters"   in the middle of a number or a spelling, as far as one can tell
---   "open"      something must follow
---   "whole"     with the mark of a sentence
---   "plain"     none of these
--- @param expect table  { kind = "open" | "yes_no" | "digits" | "spelling", count = digits asked for, or nil }
function reading.ending(text, expect, language)
  local folded = reading.fold(text)
  if folded == "" then return "none" end
  local of, kind = lexicon.of(language), expect.kind
  if kind == "yes_no" and is_closed_answer(folded, of) then return "answer" end
  if kind == "digits" then
    local ending = of_digits(folded, expect, of)
    if ending then return ending end
  elseif kind == "spelling" then
    return lexicon.ends(of.closing, folded) and "answer" or "letters"
  end
  local mark = mark_of(text)
  -- Recognisers set a full stop behind each piece of a number: it says nothing.
  if ends_in_number(folded, of.numbers) then return "number" end
  if ends_in_letters(folded) then return "letters" end
  if mark == "open" then return "open" end
  if mark == "sentence" then return "whole" end
  if is_closed_answer(folded, of) then return "plain" end  -- "así es", "yes it is": not open, though such words often are
  if lexicon.ends(of.filler, folded) or lexicon.ends(of.open, folded) then return "open" end
  return "plain"
end

--- What words said over ours want:
---   "none"         there is no word
---   "backchannel"  nothing: "mm-hm", "yeah, okay"
---   "urgent"       the floor, at once
---   "answer"       to answer the question that is being asked
---   "words"        something else
--- The second value says how many words; the third, of an answer, that it may as well be a back-channel ("yes", "okay").
--- @param settled boolean|nil  no word of it is still to come: "I" is not the beginning of "I see"
function reading.wants(text, expect, language, settled)
  local folded = reading.fold(text)
  if folded == "" then return "none", 0 end
  local of, count = lexicon.of(language), reading.count(text)
  local soft = lexicon.only(of.backchannel, folded, of.filler)
    or (not settled and lexicon.only(of.backchannel, lexicon.without_begun(of.backchannel, folded), of.filler))
  if expect.kind == "yes_no" and is_closed_answer(folded, of) then return "answer", count, soft end
  if soft then return "backchannel", count end
  if expect.kind == "digits" and reading.digits(text, language) > 0 then return "answer", count, false end
  if lexicon.has(of.urgent, folded) then return "urgent", count end
  return "words", count
end

-- Is there a question that its mark tells? "Okay?" and "hello?" are none. Of a language whose words are not known one word is not enough, for it may be "okay?".
local function asks(text, language, of)
  for wide in pairs(WIDE_QUESTION) do text = text:gsub(wide, "?") end
  local known = lexicon.language(language) ~= nil
  for sentence in text:gmatch("([^.!?]+)[.!]*%?") do
    local folded = lexicon.without(of.harmless, reading.fold(sentence))
    if not lexicon.only(of.assent, folded, of.filler) and (known or folded:find("%S %S")) then return true end
  end
  return false
end

-- Goes he on to talk, or ask for somebody?
local function says_more(folded, of)
  if lexicon.has(of.thanks, folded) or lexicon.has(of.farewell, folded) then return false end
  return lexicon.has(of.urgent, folded) or lexicon.besides(of.assent, folded, of.filler) >= MORE_WORDS
end

--- Does who is about to be put through, or has been wished a good day, object? "No, wait", "what does it cost" and "I forgot something" do. Whatever is not known
--- to do so does not: he is glad of it in more ways than anybody can list, and a promise that is not kept is worse than one that he has to be told again.
--- @param settled boolean|nil  no word of it is still to come: "no" is not the beginning of "no problem"
--- @param handed boolean|nil   a human hears whatever else he has to say; else that holds it up, too
function reading.objects(text, language, settled, handed)
  text = text:sub(-MOST_BYTES)
  local of, folded = lexicon.of(language), reading.fold(text)
  if lexicon.has(of.captions, folded) then return false end
  folded = lexicon.without(of.harmless, folded)
  if not settled then folded = lexicon.without_begun(of.harmless, folded) end
  if lexicon.has(of.objection, folded) or asks(text, language, of) then return true end
  return not handed and lexicon.language(language) ~= nil and says_more(folded, of)
end

return reading
