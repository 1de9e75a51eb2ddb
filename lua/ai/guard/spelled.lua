-- SPDX-License-Identifier: Apache-2.0
--- Numbers written in words, in English and German: twenty-five, a hundred and one, two and a half million, nineteen ninety-nine (of
--- which nobody can say whether it is 1999 or 19.99), neunzehn, zweihundertfünfzig, anderthalb. Pure; takes time in proportion to the text.
local words = require "kb.words"

local spelled = {}

local MOST_BYTES = 60  -- of a word that may be a number: "neunhundertneunundneunzigtausend..."
local DECIMALS = 6

local kinds = {}  -- folded word -> { kind, value }
local function add(kind, list)
  for word, value in list:gmatch("(%S+)=(%S+)") do kinds[word] = { kind = kind, value = tonumber(value) } end
end
add("unit", "zero=0 one=1 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9")
add("unit", "null=0 eins=1 ein=1 einen=1 zwei=2 zwo=2 drei=3 vier=4 funf=5 fuenf=5 sechs=6 sieben=7 acht=8 neun=9")
add("teen", "ten=10 eleven=11 twelve=12 thirteen=13 fourteen=14 fifteen=15 sixteen=16 seventeen=17 eighteen=18 nineteen=19")
add("teen", "zehn=10 elf=11 zwolf=12 zwoelf=12 dreizehn=13 vierzehn=14 funfzehn=15 fuenfzehn=15 sechzehn=16 siebzehn=17 achtzehn=18 neunzehn=19")
add("tens", "twenty=20 thirty=30 forty=40 fifty=50 sixty=60 seventy=70 eighty=80 ninety=90")
add("teen", "zwanzig=20 dreissig=30 vierzig=40 funfzig=50 fuenfzig=50 sechzig=60 siebzig=70 achtzig=80 neunzig=90")
add("hundred", "hundred=100 hundert=100")
add("scale", "thousand=1e3 tausend=1e3 million=1e6 millions=1e6 millionen=1e6 billion=1e9 milliarde=1e9 milliarden=1e9")
add("whole", "anderthalb=1.5 eineinhalb=1.5")
add("one", "a=1 an=1 eine=1")
add("and", "and=0 und=0")
add("point", "point=0 komma=0")
add("half", "half=0.5 halbe=0.5")

local function plain(word)
  local found = kinds[word]
  return found and (found.kind == "unit" or found.kind == "teen" or found.kind == "tens") and found.value or nil
end

-- German writes a number up to a million in one word.
local function below_100(word)
  if word == "" then return 0 end
  local value = plain(word)
  if value then return value end
  local ones, tens = word:match("^(%a-)und(%a+)$")
  local of_ones, of_tens = ones and plain(ones), tens and plain(tens)
  if of_ones and of_tens and of_ones > 0 and of_ones < 10 and of_tens >= 20 and of_tens % 10 == 0 then return of_tens + of_ones end
end

local function below_1000(word)
  local before, behind = word:match("^(%a-)hundert(%a*)$")
  if not before then return below_100(word) end
  local hundreds = before == "" and 1 or plain(before)
  local rest = below_100(behind) or below_100(behind:match("^und(%a+)$") or "-")
  if hundreds and hundreds > 0 and hundreds < 20 and rest then return hundreds * 100 + rest end
end

local function compound(word)
  local before, behind = word:match("^(%a-)tausend(%a*)$")
  if before then
    local thousands = before == "" and 1 or below_1000(before)
    local rest = below_1000(behind) or below_1000(behind:match("^und(%a+)$") or "-")
    return thousands and rest and thousands * 1000 + rest
  end
  local halved = word:match("^(%a+)einhalb$")
  if halved then
    local value = below_100(halved)
    return value and value + 0.5
  end
  return below_1000(word)
end

-- What a word is in a number: { kind, value } or nil.
local function kind_of(word)
  if #word > MOST_BYTES then return nil end
  word = word:find("[\128-\255]") and words.fold(word) or word:lower()
  local found = kinds[word]
  if found then return found end
  if not (word:find("und", 1, true) or word:find("hundert", 1, true) or word:find("tausend", 1, true) or word:find("einhalb", 1, true)) then return nil end
  local value = compound(word)
  return value and { kind = value < 100 and "teen" or "whole", value = value }
end

-- -- runs of such words --------------------------------------------------------------------------------------------------

local function is(token, kind) return token ~= nil and token.kind == kind end

local function small(run, at)
  local token = run[at]
  if is(token, "unit") or is(token, "teen") then return token.value, at + 1 end
  if not is(token, "tens") then return nil end
  local ones = run[at + 1]
  if is(ones, "unit") and ones.value > 0 then return token.value + ones.value, at + 2 end
  return token.value, at + 1
end

-- Up to a thousand, or a German word that is more.
local function group(run, at)
  local token = run[at]
  if is(token, "whole") then return token.value, at + 1 end
  local value, behind
  if is(token, "hundred") or is(token, "scale") then
    value, behind = 1, at
  elseif is(token, "one") then
    if not (is(run[at + 1], "hundred") or is(run[at + 1], "scale")) then return nil end
    value, behind = 1, at + 1
  else
    value, behind = small(run, at)
    if not value then return nil end
  end
  if not is(run[behind], "hundred") then return value, behind end
  value, behind = value * 100, behind + 1
  local rest, last = small(run, is(run[behind], "and") and behind + 1 or behind)
  if rest then return value + rest, last end
  return value, behind
end

-- What stands behind the point: digits one by one, or a number below a hundred.
local function decimals(run, at)
  local digits = {}
  while is(run[at], "unit") and #digits < DECIMALS do
    digits[#digits + 1] = run[at].value
    at = at + 1
  end
  if #digits > 0 then return tonumber("0." .. table.concat(digits)), at end
  local value, last = small(run, at)
  if value then return value / 100, last end
end

-- value, the place behind it, another value that it may mean.
local function number(run, at)
  if is(run[at], "half") then
    local scale = run[at + (is(run[at + 1], "one") and 2 or 1)]
    if is(scale, "scale") then return 0.5 * scale.value, at + (is(run[at + 1], "one") and 3 or 2) end
    return nil
  end
  local sum, least = 0, math.huge
  local value, behind = group(run, at)
  if not value then return nil end
  if is(run[at], "whole") and value % 1000 == 0 then  -- "zweitausend fünfhundert"
    local rest, last = group(run, is(run[behind], "and") and behind + 1 or behind)
    if rest and rest < 1000 then return value + rest, last end
  end
  local pair = value >= 1 and value < 100 and value % 1 == 0 and small(run, behind)
  if pair and pair >= 10 then
    local _, last = small(run, behind)
    if not is(run[last], "hundred") and not is(run[last], "scale") then return value * 100 + pair, last, value + pair / 100 end
  end
  while true do
    local part, last
    if is(run[behind], "point") then
      part, last = decimals(run, behind + 1)
    elseif is(run[behind], "and") and is(run[behind + 1], "one") and is(run[behind + 2], "half") then
      part, last = 0.5, behind + 3
    end
    if part then value, behind = value + part, last end
    local scale = run[behind]
    if not is(scale, "scale") or scale.value >= least then return sum + value, behind end
    sum, least, behind = sum + value * scale.value, scale.value, behind + 1
    value, last = group(run, is(run[behind], "and") and behind + 1 or behind)
    if not value or value >= least then return sum, behind end
    behind = last
  end
end

local function take(run, list)
  local at = 1
  while at <= #run do
    local value, behind, other = number(run, at)
    if value then
      list[#list + 1] = { value = value, other = other, first = run[at].first, last = run[behind - 1].last, spelled = true }
      at = behind
    else
      at = at + 1
    end
  end
end

--- Each number: { value, other = what else it may mean or nil, first, last (bytes), spelled = true }.
function spelled.scan(text)
  local list, run = {}, {}
  for first, word, stop in text:gmatch("()([%a\128-\255]+)()") do
    local found = kind_of(word)
    local last = run[#run]
    if last and not (found and text:sub(last.last + 1, first - 1):find("^[ %-]$")) then
      take(run, list)
      run = {}
    end
    if found then run[#run + 1] = { kind = found.kind, value = found.value, first = first, last = stop - 1 } end
  end
  take(run, list)
  return list
end

return spelled
