-- SPDX-License-Identifier: Apache-2.0
--- Personal values out of a prompt before it leaves, and back into the answer. "[EMAIL_1]" stands for the same value all through a
--- request; what it stands for is held in a vault, which lives as long as the request and goes nowhere.
---
--- Found by their form: e-mail addresses, phone numbers, card numbers (Luhn; also with their expiry and check number behind them), account
--- numbers (IBAN, ISO 13616). Names have none, so whoever knows the caller's gives it. Takes any bytes and time in proportion to them.
local json = require "core.json"

local mask = {}

local SHOWN = "%[(%u+_%d+)%]"
mask.MOST_BYTES = 24  -- of a placeholder
local MOST_CARD = 40   -- bytes of a card's number with all that may stand behind it

--- A new vault.
function mask.vault()
  return { by_value = {}, by_name = {}, counts = {}, size = 0 }
end

local function placeholder(vault, kind, value)
  local name = vault.by_value[value]
  if not name then
    vault.counts[kind] = (vault.counts[kind] or 0) + 1
    name = ("%s_%d"):format(kind, vault.counts[kind])
    vault.by_value[value], vault.by_name[name] = name, value
    vault.size = vault.size + 1
  end
  return "[" .. name .. "]"
end

--- Do digits end with their check digit, as cards' do (ISO/IEC 7812)?
local function luhn(digits)
  local sum, double = 0, false
  for i = #digits, 1, -1 do
    local d = digits:byte(i) - 48
    if double then d = d * 2; if d > 9 then d = d - 9 end end
    sum, double = sum + d, not double
  end
  return sum % 10 == 0
end

-- What a run of digits and the marks between them is: "CARD", "PHONE" or nil.
local function kind_of(run)
  local digits = run:gsub("%D", "")
  local n = #digits
  if n >= 13 and n <= 19 and run:sub(1, 1) ~= "+" and luhn(digits) then return "CARD" end
  if n < 7 or n > 15 then return nil end
  if run:find("^%d%d?[%.%-/]%d%d?[%.%-/]%d%d%d?%d?$") or run:find("^%d%d%d%d%-%d%d%-%d%d") then return nil end  -- a date
  if run:find("^%d%d?[%.%-/]%d%d?[%.%-/]%d%d%d%d +%d%d?%.?%d%d$") then return nil end  -- with the time behind it
  if run:find("^%+") or (run:find("^%(?0") and not run:find("^0[%.,]")) then return "PHONE" end
  if run:find("^%(?%d%d%d%)?[ %-%.]+%d%d%d[ %-%.]+%d%d%d%d$") then return "PHONE" end  -- as it is written in North America
end

-- How cards are written in groups.
local GROUPS = { { 4, 4, 4, 4 }, { 4, 6, 5 }, { 4, 6, 4 } }

--- Are digits of this length a card of one of the large networks?
local function is_card(digits)
  local n, two = #digits, tonumber(digits:sub(1, 2))
  local known
  if n == 16 then
    known = (two >= 40 and two <= 49) or (two >= 51 and two <= 55) or (two >= 22 and two <= 27) or (two >= 60 and two <= 65) or two == 35
  elseif n == 15 then
    known = two == 34 or two == 37
  elseif n == 14 then
    known = two == 30 or two == 36 or two == 38 or two == 39
  end
  return known == true and luhn(digits)
end

local function is_expiry(month, year)
  month, year = tonumber(month), tonumber(year) % 100
  return month >= 1 and month <= 12 and year >= 20 and year < 60
end

-- Is this what stands behind a card's number and nothing else: its expiry, its check number, or both?
local function is_of_card(behind)
  if behind:find("^[ %-./]+%d%d%d$") then return true end
  local month, year, check = behind:match("^[ %-./]*(%d%d) ?[/%-. ]? ?(%d%d)(.*)$")
  if not month then
    month, year, check = behind:match("^[ %-./]+(%d) ?[/%-.] ?(%d%d)(.*)$")
    if not month then return false end
  end
  local century = check:match("^%d%d")
  if century and year == "20" then year, check = century, check:sub(3) end
  return is_expiry(month, year) and (check == "" or check:find("^[ %-./]+%d%d%d%d?$") ~= nil or check:find("^%d%d%d%d?$") ~= nil)
end

-- Does a run of digits begin with a card's number, and is the rest its expiry, its check number, or both?
local function is_whole_card(run)
  if #run > MOST_CARD then return false end
  for _, groups in ipairs(GROUPS) do
    local at, digits, mark = 1, {}, nil
    for i, length in ipairs(groups) do
      local group = run:match("^%d+", at)
      if not group or #group < length or (i < #groups and #group ~= length) then break end
      digits[i], at = group:sub(1, length), at + length
      if i < #groups then
        local own = run:match("^[ %-.]", at)
        mark = mark or own
        if own == nil or own ~= mark then break end
        at = at + 1
      end
    end
    if #digits == #groups and is_card(table.concat(digits)) and is_of_card(run:sub(at)) then return true end
  end
  for n = 14, 16 do
    if run:find("^" .. ("%d"):rep(n)) and is_card(run:sub(1, n)) and is_of_card(run:sub(n + 1)) then return true end
  end
  return false
end

local function mask_number(text, vault)
  local lead, value, rest = text:match("^([^%d%+%(]*)(.*%d%)?)(.*)$")
  if not value then return nil end
  local kind = kind_of(value)
  if kind then return lead .. placeholder(vault, kind, value) .. rest end
  if #value < 16 then return nil end
  if is_whole_card(value) then return lead .. placeholder(vault, "CARD", value) .. rest end
  -- several, one after the other
  return lead .. value:gsub("%S+", function(part)
    local own = kind_of(part) or is_whole_card(part) and "CARD"
    return own and placeholder(vault, own, part) or nil
  end) .. rest
end

-- A bracket around a few digits is a number's own, as in "(0170) 1234567"; any other is of the sentence and ends it.
local function mask_digits(text, vault)
  return (text:gsub("%+?%(?%d[%d ().%-/]*", function(run)
    if not run:find("[()]") then return mask_number(run, vault) end
    return run:gsub("%((%d%d?%d?%d?%d?)%)", "\1%1\2"):gsub("[^()]+", function(part)
      part = part:gsub("\1", "("):gsub("\2", ")")
      return mask_number(part, vault) or part
    end)
  end))
end

-- Around each "@": the part before it at most 64 bytes, the part behind it a host name.
local function mask_emails(text, vault)
  local out, from, at = {}, 1, 1
  while true do
    at = text:find("@", at, true)
    if not at then break end
    local before = text:sub(math.max(from, at - 64), at - 1):match("[%w._%%+%-\128-\255]+$")
    local host = text:sub(at + 1, at + 255):match("^[%w%-\128-\255][%w.%-\128-\255]*")
    host = host and host:gsub("[.%-]+$", "")
    if before and host and host:find("%.%a%a") then
      out[#out + 1] = text:sub(from, at - #before - 1)
      out[#out + 1] = placeholder(vault, "EMAIL", before .. "@" .. host)
      from = at + #host + 1
      at = from
    else
      at = at + 1
    end
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

local MOST_IBAN, MOST_IBAN_SPACED = 34, 48

-- Where the account number ends that begins at a place with two capitals and two digits, or nil. Moved behind the rest, as numbers, these
-- four make it 1, modulo 97. One that ends with its word goes before one with a letter behind it.
local function iban_end(text, first)
  local a, b, c, d = text:byte(first, first + 3)
  local head = (a - 55) * 10000 + (b - 55) * 100 + (c - 48) * 10 + d - 48
  local rest, n, inside = 0, 4, nil
  for at = first + 4, first + MOST_IBAN_SPACED - 1 do
    local byte = text:byte(at)
    if byte and byte >= 48 and byte <= 57 then
      rest, n = (rest * 10 + byte - 48) % 97, n + 1
    elseif byte and byte >= 65 and byte <= 90 then
      rest, n = (rest * 100 + byte - 55) % 97, n + 1
    elseif byte ~= 32 then
      break
    end
    if n > MOST_IBAN then break end
    if n >= 15 and byte ~= 32 and (rest * 1000000 + head) % 97 == 1 then
      if not text:find("^%w", at + 1) then return at end
      if not text:find("^%d", at + 1) then inside = inside or at end
    end
  end
  return not text:sub(first - 1, first - 1):find("%w") and inside or nil
end

local function mask_ibans(text, vault)
  local out, from, at = {}, 1, 1
  while true do
    local first = text:find("%u%u%d%d", at)
    if not first then break end
    local last = iban_end(text, first)
    if last then
      out[#out + 1] = text:sub(from, first - 1)
      out[#out + 1] = placeholder(vault, "IBAN", text:sub(first, last))
      from, at = last + 1, last + 1
    else
      at = first + 1
    end
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

-- A value that is known, wherever it stands as whole words, in any case of ASCII letters.
local function mask_known(text, vault, kind, value)
  local small, wanted = text:lower(), value:lower()
  local out, from, at = {}, 1, 1
  while true do
    local first, last = small:find(wanted, at, true)
    if not first then break end
    local before, after = text:sub(first - 1, first - 1), text:sub(last + 1, last + 1)
    if (first > 1 and before:find("[%w\128-\255]")) or after:find("[%w\128-\255]") then
      at = first + 1
    else
      out[#out + 1] = text:sub(from, first - 1)
      out[#out + 1] = placeholder(vault, kind, value)
      from, at = last + 1, last + 1
    end
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

mask.luhn, mask.is_card = luhn, is_card

--- The text with placeholders for personal values.
--- @param known table|nil  list of { kind = "NAME" and the like: capital letters, value = text of 3 bytes and more }
function mask.text(text, vault, known)
  text = text:gsub(SHOWN, "(%1)")  -- nobody says a placeholder and gets the value
  for _, item in ipairs(known or {}) do
    if #item.value >= 3 then text = mask_known(text, vault, item.kind, item.value) end
  end
  if text:find("@", 1, true) then text = mask_emails(text, vault) end
  if text:find("%d") then
    text = mask_ibans(text, vault)
    text = mask_digits(text, vault)
  end
  return text
end

--- The values of a vault back in the place of their placeholders; names that it does not have stay.
--- @param in_json boolean|nil  the text is JSON: values are written as they stand in its strings
function mask.reveal(text, vault, in_json)
  if vault.size == 0 then return text end
  return (text:gsub(SHOWN, function(name)
    local value = vault.by_name[name]
    if value and in_json then value = json.encode(value):sub(2, -2) end
    return value
  end))
end

return mask
