-- SPDX-License-Identifier: Apache-2.0
--- Numbers and prices in text, in the ways people write them: 1,299.50, 1.299,50, 1 299, $5k, EUR 20, 20 US dollars, twenty euros, neunzehn
--- Euro. Takes any bytes and time in proportion to them.
local spelled = require "ai.guard.spelled"
local words = require "kb.words"

local amounts = {}

local DIGITS = 18  -- a longer run is no amount

local currencies = {}
for word in ("usd eur gbp chf jpy cny inr rub try pln czk sek nok dkk huf aud cad nzd brl mxn zar sgd hkd aed sar ils krw "
  .. "dollar dollars buck bucks euro euros pound pounds quid franc francs franken yen yuan rupee rupees ruble rubles rubel lira zloty krona kronor krone kroner "
  .. "peso pesos real reais cent cents pence"):gmatch("%S+") do currencies[word] = true end
-- Words that are also something else: behind a number in words they are no currency ("one real reason", "give it one try").
local doubtful = { real = true, ["try"] = true, rub = true, cad = true, sek = true, ron = true, sar = true }
local coins = { cent = true, cents = true, pence = true }
local nations = {}
for word in ("us american canadian australian british swiss singapore schweizer"):gmatch("%S+") do nations[word] = true end
local signs = { ["$"] = true, ["\194\163"] = true, ["\194\165"] = true, ["\226\130\172"] = true, ["\226\130\185"] = true, ["\226\130\189"] = true, ["\226\130\186"] = true,
  ["\226\130\169"] = true, ["\226\130\170"] = true }
local factors = { hundred = 100, hundert = 100, billion = 1e9, milliarde = 1e9, milliarden = 1e9,
  k = 1e3, thousand = 1e3, tausend = 1e3, mil = 1e3, m = 1e6, million = 1e6, millions = 1e6, millionen = 1e6 }

-- The value of a run of digits with marks: the last mark is the decimal one when one or two digits follow, or when it is the only one of its
-- kind with another kind before it.
local function value_of(run)
  local whole, mark, tail = run:match("^(.*)([.,])(%d+)$")
  if whole and #tail <= 2 then
    return tonumber((whole:gsub("%D", "")) .. "." .. tail)
  end
  if whole and #tail > 3 and not whole:find("[.,' ]") then return tonumber((whole:gsub("%D", "")) .. "." .. tail) end
  if whole and #tail == 3 and whole == "0" and mark then return tonumber("0." .. tail) end
  return tonumber((run:gsub("%D", "")))
end

-- Each number: { value, first, last } (bytes).
local function scan(text)
  local list, at = {}, 1
  while true do
    local first, last = text:find("%d[%d.,]*", at)
    if not first then return list end
    while text:sub(last, last):find("[.,]") do last = last - 1 end
    -- "1 299": groups of three behind a short first one
    if last - first < 3 then
      while true do
        local stop = text:match("^[ ']%d%d%d()", last + 1) or text:match("^\194\160%d%d%d()", last + 1) or text:match("^\226\128\175%d%d%d()", last + 1)
        if not stop or text:find("^%d", stop) then break end
        last = stop - 1
        local cents = text:match("^[.,]%d%d?()", stop)
        if cents and not text:find("^%d", cents) then last = cents - 1 break end
      end
    end
    local run = text:sub(first, last):gsub("\194\160", ""):gsub("\226\128\175", ""):gsub("[ ']", "")
    if #run <= DIGITS then
      local value = value_of(run)
      if value then list[#list + 1] = { value = value, first = first, last = last } end
    end
    at = last + 1
  end
end

-- Is there a sign of a currency just before the number, or its name?
local function priced_before(text, number)
  local before = text:sub(math.max(1, number.first - 8), number.first - 1):gsub("%s+$", ""):gsub("\194\160$", "")
  for length = 1, 3 do
    if signs[before:sub(-length)] then return true end
  end
  local word = before:match("(%a+)$")
  if not word then return false end
  -- "What you pay in euros two days later": before a number in words only a code is one.
  return currencies[word:lower()] == true and (not number.spelled or word:find("^%u%u%u$") ~= nil)
end

-- The name of the currency that the text begins with, and the place behind it.
local function currency_of(text, number)
  local name, behind = text:match("^([%a\128-\255]+)()")
  if not name then return nil end
  local small = words.fold(name):match("^%a+")
  if not small then return nil end
  if nations[small] then
    local further, last = text:match("^%s+(%a+)()", behind)
    if further and currencies[further:lower()] then return further:lower(), last end
  end
  if not currencies[small] or (number.spelled and doubtful[small] and name ~= name:upper()) then return nil end
  return small, behind
end

-- Is there one just behind it? Then its name ("" for a sign) and the place behind that.
local function priced_behind(text, number)
  local from = number.last + 1
  local after = text:sub(from, from + 39)
  local cut = after:match("^%s*()")
  cut = after:match("^\194\160()", cut) or cut
  cut = after:match("^[,.]%-%-?%s*()", cut) or cut
  cut = after:match("^%-()", cut) or cut
  local rest = after:sub(cut)
  for length = 1, 3 do
    if signs[rest:sub(1, length)] then return "", from + cut - 1 + length end
  end
  local name, behind = currency_of(rest, number)
  if name then return name, from + cut + behind - 2 end
end

-- A factor behind the number ("$5k", "2 million dollars") is part of it.
local function with_factor(text, number)
  local factor, behind = text:match("^%s?(%a+)()", number.last + 1)
  local by = factor and factors[factor:lower()]
  if not by then return number end
  return { value = number.value * by, first = number.first, last = behind - 1 }
end

local function both(text)
  local list = scan(text)
  local in_words = spelled.scan(text)
  if #in_words == 0 then return list end
  for _, number in ipairs(in_words) do
    -- "2 million": a factor, which is seen to with its number
    if not text:sub(math.max(1, number.first - 2), number.first - 1):find("%d%s?$") then list[#list + 1] = number end
  end
  table.sort(list, function(a, b) return a.first < b.first end)
  return list
end

-- Words behind a price that go on about it. Before any other word a number counts what the word says: "20 dollars and 50 people".
local behind_price = {}
for word in ("a an as at but each for if in is instead now on per please plus today was with annually "
  .. "aber als am auf bei das der die ein einmalig für im inkl inklusive ist je jährlich kostet monatlich netto brutto pro statt war wenn "
  .. "zum zuzüglich zzgl"):gmatch("%S+") do behind_price[words.fold(word)] = true end

-- Is it over with the number, so that this can be the coins of a price?
local function ends_there(text, number)
  local rest = text:sub(number.last + 1, number.last + 40)
  local word = rest:match("^[ \t%-]*([%a\128-\255]+)")
  if word then return behind_price[words.fold(word)] == true end
  return rest:find("^[ \t]*$") ~= nil or rest:find("^[ \t]*[.,;:!?)/\"'\r\n]") ~= nil
end

-- strictly: coins that are not called so are none where the number may count something else.
local function prices(text, strictly)
  local list, of_coins = {}, nil
  local numbers = both(text)
  for i, plain in ipairs(numbers) do
    local number = plain.spelled and plain or with_factor(text, plain)
    local name, behind = priced_behind(text, number)
    if name or priced_before(text, plain) then
      local others = { plain.other }
      if coins[name] then others[#others + 1] = number.value / 100 end
      -- "nineteen dollars and ninety-nine cents", "neunzehn Euro neunundneunzig"
      local whole = of_coins
      if whole and whole.number == plain then others[#others + 1] = whole.value + number.value / 100 end
      of_coins = nil
      local further = not coins[name] and numbers[i + 1]
      if further and further.value < 100 and further.value % 1 == 0 then
        local between, own = text:sub(behind or number.last + 1, further.first - 1), priced_behind(text, with_factor(text, further))
        local fits = coins[own] or own == nil and (not strictly or ends_there(text, further))
        if fits and (between == " " or between == ", " or between == " and " or between == " und ") then
          others[#others + 1] = number.value + further.value / 100
          of_coins = { number = further, value = number.value }
        end
      end
      list[#list + 1] = { value = number.value, others = #others > 0 and others or nil, first = number.first, last = number.last }
    end
  end
  return list
end

--- The prices of a text: list of { value, others = list of what it may mean as well, or nil; first, last }.
function amounts.prices(text) return prices(text, false) end

local function add(set, text, number)
  set[number.value] = true
  if number.other then set[number.other] = true end
  local more = number.spelled and number or with_factor(text, number)
  set[more.value] = true
  return more
end

--- The numbers of a text that are written in digits, as a set: value -> true, with and without the word for thousands behind it.
function amounts.numbers(text)
  local set = {}
  for _, number in ipairs(scan(text)) do add(set, text, number) end
  return set
end

--- The same of those in words too, with each meaning that a price may have: what a text gives ground for.
function amounts.known(text)
  local set = {}
  for _, number in ipairs(both(text)) do
    local name = priced_behind(text, add(set, text, number))
    if coins[name] then set[number.value / 100] = true end
  end
  for _, price in ipairs(prices(text, true)) do
    for _, value in ipairs(price.others or {}) do set[value] = true end
  end
  return set
end

--- Is a price among the numbers that are known, whatever of its meanings?
function amounts.is_known(price, known)
  if known[price.value] then return true end
  for _, value in ipairs(price.others or {}) do
    if known[value] then return true end
  end
  return false
end

return amounts
