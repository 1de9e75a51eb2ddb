-- SPDX-License-Identifier: Apache-2.0
--- Numbers and codes as people say them one sign after the other: "four one one one, double six", "forty-one eleven", "D E eight nine",
--- "DE89 3704". Each run of such words becomes a list of signs, and each sign knows which bytes it was said by. Pure; takes time in
--- proportion to the text.
local words = require "kb.words"

local spelling = {}

local MOST_SIGNS = 34  -- in one word that is written: the longest account number
local FILLERS = 2      -- in a row, between signs
local IDLE_BYTES = 200  -- that can say nothing

local said, times, ones = {}, { double = 2, triple = 3, treble = 3, doppel = 2 }, {}
local function add(list)
  for word, value in list:gmatch("(%S+)=(%S+)") do said[word] = value end
end
add "zero=0 oh=0 nought=0 naught=0 nil=0 one=1 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9"
add "null=0 eins=1 zwei=2 zwo=2 drei=3 vier=4 funf=5 fuenf=5 sechs=6 sieben=7 acht=8 neun=9"
add "ten=10 eleven=11 twelve=12 thirteen=13 fourteen=14 fifteen=15 sixteen=16 seventeen=17 eighteen=18 nineteen=19"
add "zehn=10 elf=11 zwolf=12 zwoelf=12 dreizehn=13 vierzehn=14 funfzehn=15 fuenfzehn=15 sechzehn=16 siebzehn=17 achtzehn=18 neunzehn=19"
add "twenty=20 thirty=30 forty=40 fourty=40 fifty=50 sixty=60 seventy=70 eighty=80 ninety=90 hundred=00 thousand=000"
add "zwanzig=20 dreissig=30 vierzig=40 funfzig=50 fuenfzig=50 sechzig=60 siebzig=70 achtzig=80 neunzig=90 hundert=00 tausend=000"
for word, value in pairs(said) do
  if #value == 1 and value ~= "0" then ones[word] = value end
end
-- "einundvierzig"
for unit, value in ("ein=1 zwei=2 zwo=2 drei=3 vier=4 funf=5 fuenf=5 sechs=6 sieben=7 acht=8 neun=9"):gmatch("(%a+)=(%d)") do
  for ten in ("zwanzig dreissig vierzig funfzig fuenfzig sechzig siebzig achtzig neunzig"):gmatch("%a+") do
    said[unit .. "und" .. ten] = said[ten]:sub(1, 1) .. value
  end
end

-- Stand between the signs of a number; idle: and between its groups, each of which was said for itself.
local fillers, idle = { presses = true }, {}  -- keys, as conversations write them: "(presses 4111)"
for word in ("uh um uhm er erm hm hmm mm mhm and then yes yeah okay ok so well ah ahm und dann ja also"):gmatch("%S+") do
  fillers[word], idle[word] = true, true
end
for word in ("dash hyphen space it is its my the number that"):gmatch("%S+") do fillers[word] = true end

local function is_english_ten(word) return word:find("ty$") ~= nil and said[word] ~= nil end

-- The signs of a word: a text of capitals and digits; nil when it is none of a number or code.
local function signs_of(word, small)
  if word:find("^%d+$") then return word end
  if said[small] then return said[small] end
  if #word == 1 and word:find("%a") then return small ~= "i" and small ~= "a" and word:upper() or nil end
  if word:find("^%w+$") and #word <= MOST_SIGNS then
    if word:find("%d") or #word <= 4 and word:find("^%u+$") then return word:upper() end
  end
  return nil
end

local function fold(word)
  return word:find("[\128-\255]") and words.fold(word) or word:lower()
end

local function push(run, signs, first, last, each)
  for i = 1, #signs do
    local at = each and first + i - 1
    run[#run + 1] = { sign = signs:sub(i, i), first = at or first, last = at or last, inside = each and i > 1 or nil }
  end
end

-- Takes one word into a run that is open. Returns whether it belongs there.
local function take(run, word, first, last)
  local small = fold(word)
  if times[small] then
    run.times, run.times_first = times[small], first
    return true
  end
  local before = run[#run]
  if ones[small] and before and before.ten and run.fillers == 0 then
    before.sign, before.last, before.ten = ones[small], last, nil
    run[#run - 1].last = last
    return true
  end
  local signs = signs_of(word, small)
  if not signs then return false end
  local written = #signs == #word and not said[small]
  if run.times then
    signs, first, written = signs:rep(run.times), run.times_first, false
    run.times = nil
  end
  push(run, signs, first, last, written)
  if is_english_ten(small) then run[#run].ten = true end
  return true
end

--- Does a text say nothing: words like "yes" and "um" only, or what a recogniser calls a noise, "[coughs]", or no word at all?
function spelling.is_idle(text)
  if #text > IDLE_BYTES then return false end
  for word in text:gsub("%b[]", " "):gsub("%b()", " "):gsub("\226\128\166", " "):gmatch("[%w\128-\255]+") do
    if not idle[fold(word)] then return false end
  end
  return true
end

--- The runs of a text in their order: lists of { sign, first, last, inside = it does not begin its word }, each with head = true when only fillers stand before it, tail = true
--- when none but such stand behind it, plus = where its "plus" stands, when it is
--- said as a number with its country code.
function spelling.runs(text)
  local list, run, count = {}, { fillers = 0 }, 0
  local ended, others_before = 0, false
  local function close()
    if #run > 0 then
      list[#list + 1] = run
      run.head = not run.after_others
    end
    run = { fillers = 0, after_others = others_before }
  end
  for first, word, stop in text:gmatch("()([%w\128-\255]+)()") do
    count = count + 1
    if #run > 0 and not text:sub(ended + 1, first - 1):find("^[%s,%.%-/()+'\226\128\153]*$") then
      others_before = true
      close()
    end
    local small = #word <= 16 and fold(word) or ""
    if small == "plus" then
      close()
      run.plus = first
    elseif not (#word == 1 and text:find("^'", first - 1)) and take(run, word, first, stop - 1) then
      run.fillers = 0
      others_before = true
    elseif fillers[small] or #word == 1 then
      if #run > 0 then run.fillers = run.fillers + 1 end
      if run.fillers > FILLERS then close() end
    else
      others_before = true
      close()
    end
    ended = stop - 1
  end
  local last = #run > 0 and run
  close()
  if last and not text:find("[^%s%p]", ended + 1) then last.tail = true end
  return list
end

return spelling
