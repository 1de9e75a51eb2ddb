-- SPDX-License-Identifier: Apache-2.0
--- Numbers and prices in text, in the ways people write them: 1,299.50, 1.299,50, 1 299, $5k, EUR 20, 20 euros. Takes any bytes and
--- time in proportion to them.
local words = require "kb.words"

local amounts = {}

local DIGITS = 18  -- a longer run is no amount

local currencies = {}
for word in ("usd eur gbp chf jpy cny inr rub try pln czk sek nok dkk huf aud cad nzd brl mxn zar sgd hkd aed sar ils krw "
  .. "dollar dollars buck bucks euro euros pound pounds quid franc francs franken yen yuan rupee rupees ruble rubles rubel lira zloty krona kronor krone kroner "
  .. "peso pesos real reais cent cents pence"):gmatch("%S+") do currencies[word] = true end
local signs = { ["$"] = true, ["\194\163"] = true, ["\194\165"] = true, ["\226\130\172"] = true, ["\226\130\185"] = true, ["\226\130\189"] = true, ["\226\130\186"] = true,
  ["\226\130\169"] = true, ["\226\130\170"] = true }
local factors = { k = 1e3, thousand = 1e3, tausend = 1e3, mil = 1e3, m = 1e6, million = 1e6, millions = 1e6, millionen = 1e6 }

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

-- Is there a sign of a currency just before or just behind the number, or its name?
local function priced(text, number)
  local before = text:sub(math.max(1, number.first - 8), number.first - 1):gsub("%s+$", ""):gsub("\194\160$", "")
  for length = 1, 3 do
    if signs[before:sub(-length)] then return true end
  end
  local word = before:match("(%a+)$")
  if word and currencies[word:lower()] then return true end
  local after = text:sub(number.last + 1, number.last + 40)
  local factor = after:match("^%s?(%a+)")
  if factor and factors[factor:lower()] then
    number.value = number.value * factors[factor:lower()]
    after = after:sub(#after:match("^%s?%a+") + 1)
    if word == nil and #before > 0 and signs[before:sub(-1)] then return true end
  end
  after = after:gsub("^%s+", ""):gsub("^\194\160", ""):gsub("^[,.]%-%-?%s*", ""):gsub("^%-", "")
  for length = 1, 3 do
    if signs[after:sub(1, length)] then return true end
  end
  local name = after:match("^(%a+)") or words.fold(after:sub(1, 16)):match("^(%a+)")
  return name ~= nil and currencies[name:lower()] == true
end

-- A factor behind a sign: "$5k".
local function with_factor(text, number)
  local factor = text:match("^%s?(%a+)", number.last + 1)
  return factor and factors[factor:lower()] or 1
end

--- The prices of a text: list of { value, first, last }.
function amounts.prices(text)
  local list = {}
  for _, number in ipairs(scan(text)) do
    local plain = number.value
    if priced(text, number) then
      if number.value == plain then number.value = plain * with_factor(text, number) end
      list[#list + 1] = number
    end
  end
  return list
end

--- The numbers of a text as a set: value -> true, with and without the word for thousands behind it.
function amounts.numbers(text)
  local set = {}
  for _, number in ipairs(scan(text)) do
    set[number.value] = true
    set[number.value * with_factor(text, number)] = true
  end
  return set
end

return amounts
