-- SPDX-License-Identifier: Apache-2.0
--- Personal values out of text that is kept, such as transcripts: "[CARD]" and the like stand in their place for ever. What stands in
--- writing is found as in prompts (ai.guard.mask); what was spoken sign by sign is found by the signs (ai.guard.spelling), also where
--- it went on in what the same person said next.
---
---   CARD    13 to 19 digits with their check digit, and an expiry or check number of up to 8 digits behind them
---   IBAN    ISO 13616, check digits modulo 97
---   ID      national ids: US SSN and ITIN (3-2-4, or 9 digits where the talk is of it), UK NINO, Spanish DNI and NIE (check letter),
---           German IdNr (11 digits, ISO 7064 MOD 11,10)
---   PHONE   with +, with 0 in front, or 10 digits of North America
---   EMAIL   also "john dot smith at example dot com"
---   and what the tenant names: { name = "CONTRACT", form = "AC-######" }; # a digit, @ a letter, * either, all else itself
---
--- A form has no repetition, so whatever a tenant writes takes its length times that of the text at most. Pure; takes any bytes.
local leaves = require "lib.leaves"
local mask = require "ai.guard.mask"
local spelling = require "ai.guard.spelling"
local text_of = require "lib.text"

local redact = {}

redact.MOST_FORMS = 20
local MOST_BEHIND = 8       -- digits behind a card's number that are of it
local CHAIN_SIGNS = 40      -- longer ones are no number
local CUT_BYTES = 400       -- as long as a card's number can be when it is said word by word
local WORD_BYTES = 60       -- longer ones are text without spaces, of which the most is kept

-- What signs are ---------------------------------------------------------------------------------------------------------

local function iban_ok(text)
  local rest = 0
  for i = 5, #text + 4 do
    local byte = text:byte(i > #text and i - #text or i)
    rest = byte >= 65 and (rest * 100 + byte - 55) % 97 or (rest * 10 + byte - 48) % 97
  end
  return rest == 1
end

local function add_ibans(found, signs)
  local at = 1
  while true do
    local first = signs:find("%u%u%d%d", at)
    if not first then return end
    at = first + 1
    for length = math.min(34, #signs - first + 1), 15, -1 do
      if iban_ok(signs:sub(first, first + length - 1)) then
        found[#found + 1] = { first, first + length - 1, "IBAN" }
        at = first + length
        break
      end
    end
  end
end

-- Where a card's number is in digits: first, last; nil when there is none. Within other digits it begins with a word.
-- @param inside function|nil  does that digit stand inside a word?
local function card_in(digits, inside)
  if #digits <= 19 and #digits >= 13 and digits:find("^[1-9]") and mask.luhn(digits) then return 1, #digits end
  for first = 1, #digits - 13 do
    for length = 16, 14, -1 do
      local last = first + length - 1
      if last <= #digits and not (inside and inside(first)) and mask.is_card(digits:sub(first, last)) then
        if #digits - last <= MOST_BEHIND then last = #digits end
        return first, last
      end
    end
  end
end

local function is_ssn(digits)
  local area, group, serial = digits:match("^(%d%d%d)(%d%d)(%d%d%d%d)$")
  return area ~= nil and area ~= "000" and area ~= "666" and group ~= "00" and serial ~= "0000"
end

local function is_idnr(digits)
  if not digits:find("^[1-9]%d%d%d%d%d%d%d%d%d%d$") then return false end
  local product = 10
  for i = 1, 10 do
    local sum = (digits:byte(i) - 48 + product) % 10
    product = ((sum == 0 and 10 or sum) * 2) % 11
  end
  return (11 - product) % 10 == digits:byte(11) - 48
end

local function is_phone(digits, plus)
  local n = #digits
  if plus then return n >= 7 and n <= 15 end
  if n == 10 and digits:find("^[2-9]%d%d[2-9]") or n == 11 and digits:find("^1[2-9]%d%d[2-9]") then return true end
  return digits:find("^0[1-9]") ~= nil and n >= 9 and n <= 13
end

-- What is in a run: list of { first, last, kind }, by sign.
local function kinds_in(run, plus, of_ssn)
  local found, list = {}, {}
  for i, sign in ipairs(run) do list[i] = sign.sign end
  local signs = table.concat(list)
  add_ibans(found, signs)
  for from, digits in signs:gmatch("()(%d+)") do
    local function inside(at) return run[from + at - 1].inside end
    local first, last = card_in(digits, inside)
    while first do
      found[#found + 1] = { from + first - 1, from + last - 1, "CARD" }
      from, digits = from + last, digits:sub(last + 1)
      first, last = card_in(digits, inside)
    end
    local kind = #digits == 9 and of_ssn and is_ssn(digits) and "ID" or is_phone(digits, plus and from == 1) and "PHONE"
      or is_idnr(digits) and "ID"
    if kind then found[#found + 1] = { from, from + #digits - 1, kind } end
  end
  return found
end

-- What stands in writing -------------------------------------------------------------------------------------------------

local DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
local function dni_ok(digits, letter) return DNI:sub(tonumber(digits) % 23 + 1, tonumber(digits) % 23 + 1) == letter:upper() end

local written = {
  { "%f[%w]%d%d%d[%- ]%d%d[%- ]%d%d%d%d%f[%W]", function(text) return is_ssn((text:gsub("%D", ""))) end },
  { "%f[%w]%a%a ?%d%d ?%d%d ?%d%d ?[A-Da-d]%f[%W]", function(text) return not text:find("^[DFIQUVdfiquv]") and not text:find("^.[DFIOQUVdfioquv]") end },
  { "%f[%w]%d%d%d%d%d%d%d%d[%- ]?%a%f[%W]", function(text) return dni_ok(text:sub(1, 8), text:sub(-1)) end },
  { "%f[%w][XYZxyz][%- ]?%d%d%d%d%d%d%d[%- ]?%a%f[%W]", function(text)
    local lead = ({ X = "0", Y = "1", Z = "2" })[text:sub(1, 1):upper()]
    return dni_ok(lead .. text:match("%d+"), text:sub(-1))
  end },
}

local function add_written(spans, text)
  for _, rule in ipairs(written) do
    for first, value, stop in text:gmatch("()(" .. rule[1] .. ")()") do
      if rule[2](value) then spans[#spans + 1] = { first, stop - 1, "ID" } end
    end
  end
end

local hosts = {}
for host in ("gmail yahoo hotmail outlook icloud gmx web aol proton protonmail live msn me t-online googlemail"):gmatch("%S+") do hosts[host] = true end
local joints = { dot = true, punkt = true, underscore = true, dash = true, hyphen = true, minus = true, unterstrich = true }

-- Words with their places.
local function words_in(text)
  local list = {}
  for first, word, stop in text:gmatch("()([%w\128-\255._%-]+)()") do
    word = word:match("^.*[^.%-]")  -- anchored, so that a row of dots is gone through once
    if word then list[#list + 1] = { text = word, small = word:lower(), first = first, last = first + #word - 1 } end
  end
  return list
end

local function add_spoken_emails(spans, text)
  local small = text:lower()
  if not (small:find("%f[%w]at%f[%W]") or small:find("ät", 1, true)) then return end
  local list = words_in(text)
  for i = 2, #list - 1 do
    if list[i].small == "at" or list[i].small == "ät" then
      local last
      if list[i + 1].small:find("^[%w%-]+%.%a%a[%a.]*$") then
        last = hosts[list[i + 1].small:match("^[^.]+")] and i + 1 or nil
      else
        local k = i + 1
        while list[k + 1] and joints[list[k + 1].small] and list[k + 2] do
          k = k + 2
          if list[k - 1].small == "dot" or list[k - 1].small == "punkt" then last = k end
        end
      end
      local first = i - 1
      while first > 2 and joints[list[first - 1].small] do first = first - 2 end
      if last then spans[#spans + 1] = { list[first].first, list[last].last, "EMAIL" } end
    end
  end
end

-- Forms of tenants -------------------------------------------------------------------------------------------------------

local signs_of_forms = { ["#"] = "%d", ["@"] = "%a", ["*"] = "%w" }

--- What is wrong with a list of forms, for who wrote it: which one (from 1), why; nil when nothing is.
function redact.forms_fault(forms)
  if #forms > redact.MOST_FORMS then return redact.MOST_FORMS + 1, ("only %d can be kept"):format(redact.MOST_FORMS) end
  for i, form in ipairs(forms) do
    local _, open = form.form:gsub("[#@*]", "")
    if not form.name:find("^%u[%u_]*$") or #form.name > 20 then return i, "a name is at most 20 capital letters and _, such as CONTRACT" end
    if #form.form < 4 or #form.form > 40 then return i, "a form has 4 to 40 characters" end
    if form.form:find("[^\32-\126]") then return i, "a form is of ASCII characters" end
    if open < 3 then return i, "a form has at least three of #, @ and *: what is always the same is no secret" end
  end
end

-- Characters only, each once: nothing is tried again.
local function pattern_of(form)
  local body = form:lower():gsub(".", function(c) return signs_of_forms[c] or (c:find("%p") and "%" .. c) or c end)
  return (form:find("^[%w#@*]") and "%f[%w]" or "") .. "()" .. body .. "()" .. (form:find("[%w#@*]$") and "%f[%W]" or "")
end

local function add_forms(spans, text, forms)
  local small = text:lower()
  for _, form in ipairs(forms) do
    for first, stop in small:gmatch(pattern_of(form.form)) do spans[#spans + 1] = { first, stop - 1, form.name } end
  end
end

-- Together ---------------------------------------------------------------------------------------------------------------

--- What stands in a text, before anything is known of the next: spans of bytes { first, last, kind }; and what it begins and ends with
--- (lists of signs as spelling gives them; nil when with none; whole = it is nothing else). idle = it says nothing (spelling.is_idle): no number ends with it.
--- @param options table|nil  forms, before = what was said last, by anybody
function redact.look(text, options)
  options = options or {}
  local spans, head, tail = {}, nil, nil
  local talk = ((options.before or "") .. " " .. text):lower()
  local of_ssn = talk:find("social", 1, true) or talk:find("ssn", 1, true) or talk:find("taxpayer", 1, true)
  if options.forms then add_forms(spans, text, options.forms) end
  add_written(spans, text)
  add_spoken_emails(spans, text)
  local runs = spelling.runs(text)
  for _, run in ipairs(runs) do
    for _, one in ipairs(kinds_in(run, run.plus, of_ssn)) do
      local first = one[1] == 1 and run.plus or run[one[1]].first
      if one[3] == "PHONE" and text:find("^%+", first - 1) then first = first - 1 end
      spans[#spans + 1] = { first, run[one[2]].last, one[3] }
    end
    if run.head then head = run end
    if run.tail then tail = run end
  end
  return { text = text, spans = spans, head = head, tail = tail, whole = head ~= nil and head == tail, idle = #runs == 0 and spelling.is_idle(text), of_ssn = of_ssn }
end

--- Of looks of which each goes on with the one before, the newest: as many as one number can be in. A list.
function redact.newest(looks)
  local signs, first = 0, #looks
  for i = #looks, 1, -1 do
    signs = signs + #(i == #looks and looks[i].head or looks[i].tail)
    if signs > CHAIN_SIGNS then break end
    first = i
  end
  return { unpack(looks, first) }
end

--- What goes on from one text to the next: adds the spans that are only seen in all of them together.
--- @param looks table  as redact.look gave them: the first ends with signs, the last begins with them, those between are nothing else
--- @return boolean  whether anything was found
function redact.across(looks)
  local signs = {}
  for i, look in ipairs(looks) do
    for _, sign in ipairs(i == 1 and look.tail or look.head) do signs[#signs + 1] = { sign = sign.sign, first = sign.first, last = sign.last, inside = sign.inside, of = i } end
  end
  if #signs > CHAIN_SIGNS then return false end
  local any = false
  for _, one in ipairs(kinds_in(signs, looks[1].tail.plus, looks[#looks].of_ssn)) do
    local from = one[1]
    while from <= one[2] do
      local to = from
      while to < one[2] and signs[to + 1].of == signs[from].of do to = to + 1 end
      table.insert(looks[signs[from].of].spans, { signs[from].first, signs[to].last, one[3] })
      any, from = true, to + 1
    end
  end
  return any
end

--- The text with what was found taken out.
--- @return string, boolean  and whether anything was
function redact.text(look)
  local spans = look.spans
  table.sort(spans, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] > b[2]
  end)
  local out, at = {}, 1
  for _, span in ipairs(spans) do
    if span[1] >= at then
      out[#out + 1] = look.text:sub(at, span[1] - 1)
      out[#out + 1] = "[" .. span[3] .. "]"
      at = span[2] + 1
    elseif span[2] >= at then
      at = span[2] + 1  -- two overlap: what either covers goes
    end
  end
  out[#out + 1] = look.text:sub(at)
  local vault = mask.vault()
  local masked = mask.text(table.concat(out), vault):gsub("%[(%u+)_%d+%]", "[%1]")
  return masked, #spans > 0 or vault.size > 0
end

--- The same at once, of a text that stands alone.
function redact.alone(text, options) return redact.text(redact.look(text, options)) end

-- A card of one of the large networks, perhaps with its expiry and check number behind it. Of what is no speech little is known, so it is
-- taken for one only where it begins as one.
local function begins_with_card(digits)
  for length = 16, 14, -1 do
    if #digits >= length and #digits - length <= MOST_BEHIND and mask.is_card(digits:sub(1, length)) then return true end
  end
  return false
end

--- The text without cards' numbers that stand in it in writing; all else stays. For what is not told by a caller: logs, notes.
function redact.cards(text)
  if #text < 14 then return text end
  return (text:gsub("%d[%d %-]+%d", function(run) return begins_with_card((run:gsub("%D", ""))) and "[CARD]" or nil end))
end

--- The same of a value as JSON knows them, in its texts and numbers; what has none in it comes back as it is.
function redact.cards_in(value)
  return leaves.changed(value, function(leaf)
    if type(leaf) == "string" then return redact.cards(leaf) end
    return type(leaf) == "number" and leaf >= 1e13 and leaf < 1e16 and mask.is_card(("%.0f"):format(leaf)) and "[CARD]" or leaf
  end)
end

--- Is there a digit among signs, as redact.look gives them? Letters alone are no part of a number yet: "[CARD]" is none.
function redact.has_digit(signs)
  for _, sign in ipairs(signs) do
    if sign.sign:find("%d") then return true end
  end
  return false
end

--- At most so many bytes of what somebody said, in whole words. Of a number that the cut goes through, said or written, no part stays: it would not be
--- known for one.
function redact.cut(text, bytes)
  if #text <= bytes then return text end
  local short = text_of.cut(text, bytes)
  if text:find("^%S", #short + 1) then
    local at = math.max(1, #short - WORD_BYTES)
    local gap = short:find("%s%S*$", at) or short:find("[^%w\128-\255][%w\128-\255]*$", at)
    if gap then short = short:sub(1, gap) end
  end
  local from = math.max(0, #short - CUT_BYTES)
  local tail = redact.look(short:sub(from + 1)).tail
  return tail and redact.has_digit(tail) and short:sub(1, from + tail[1].first - 1) or short
end

-- A text without the cards' numbers that redact.look and redact.across saw in it; all else stays.
local function without_cards(look)
  local only = {}
  for _, span in ipairs(look.spans) do
    if span[3] == "CARD" then only[#only + 1] = span end
  end
  if #only == 0 then return redact.cards(look.text) end
  table.sort(only, function(a, b) return a[1] < b[1] end)
  local out, at = {}, 1
  for _, span in ipairs(only) do
    if span[1] >= at then out[#out + 1] = look.text:sub(at, span[1] - 1) .. "[CARD]" end
    at = math.max(at, span[2] + 1)
  end
  out[#out + 1] = look.text:sub(at)
  return redact.cards(table.concat(out))
end

-- What one person said, looked at text by text, with what goes on from one to the next.
-- @param before table|nil  what was said before each, by anybody
local function looked_at(texts, before)
  local looks, chain = {}, {}
  for i, text in ipairs(texts) do
    local look = redact.look(text, { before = before and before[i] })
    looks[i] = look
    if not look.idle then
      if chain[1] and look.head then
        chain[#chain + 1] = look
        chain = redact.newest(chain)
        if #chain > 1 then redact.across(chain) end
      else
        chain = { look }
      end
      if not look.tail then chain = {} elseif not look.whole then chain = { look } end
    end
  end
  return looks
end

--- What one person said, text by text, without cards' numbers, also where one was told in several of them.
--- @param texts table  list of texts
function redact.cards_said(texts)
  local out = {}
  for i, look in ipairs(looked_at(texts)) do out[i] = without_cards(look) end
  return out
end

--- The same without any personal values.
--- @param before table|nil  what was said before each, by anybody: by text
function redact.said(texts, before)
  local out = {}
  for i, look in ipairs(looked_at(texts, before)) do out[i] = redact.text(look) end
  return out
end

--- Is a card's number among keys that were pressed? While it may become one, "perhaps".
--- @return boolean|string
function redact.keys(text)
  if #text < 13 then return false end
  local perhaps = false
  for digits in text:gmatch("%d+") do
    if #digits >= 13 and card_in(digits) then return true end
    if #digits >= 13 and #digits < 19 and digits:find("^[2-6]") then perhaps = "perhaps" end
  end
  return perhaps
end

return redact
