-- SPDX-License-Identifier: Apache-2.0
--- Personal values out of a prompt before it leaves, and back into the answer. "[EMAIL_1]" stands for the same value all through a
--- request; what it stands for is held in a vault, which lives as long as the request and goes nowhere.
---
--- Found by their form: e-mail addresses, phone numbers, card numbers (Luhn), account numbers (IBAN, ISO 13616). Names have none, so
--- whoever knows the caller's gives it. Takes any bytes and time in proportion to them.
local json = require "core.json"

local mask = {}

local SHOWN = "%[(%u+_%d+)%]"
mask.MOST_BYTES = 24  -- of a placeholder

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
  if run:find("^%+") or (run:find("^%(?0") and not run:find("^0[%.,]")) then return "PHONE" end
  if run:find("^%(?%d%d%d%)?[ %-%.]+%d%d%d[ %-%.]+%d%d%d%d$") then return "PHONE" end  -- as it is written in North America
end

local function mask_digits(text, vault)
  return (text:gsub("%+?%(?%d[%d ().%-/]*", function(run)
    local value, rest = run:match("^(.*%d)(.*)$")
    if value:find("(", 1, true) and not value:find(")", 1, true) then return nil end
    local kind = kind_of(value)
    if kind then return placeholder(vault, kind, value) .. rest end
    if #value < 16 then return nil end
    -- several, one after the other
    return value:gsub("%S+", function(part)
      local own = kind_of(part)
      return own and placeholder(vault, own, part) or nil
    end) .. rest
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

-- The number that four letters and digits in front moved to the end make, modulo 97, is 1.
local function is_iban(value)
  local moved, rest = value:sub(5) .. value:sub(1, 4), 0
  for i = 1, #moved do
    local c = moved:byte(i)
    rest = c <= 57 and (rest * 10 + c - 48) % 97 or (rest * 100 + c - 55) % 97
  end
  return rest == 1
end

local function mask_ibans(text, vault)
  return (text:gsub("%f[%w]%u%u%d%d[ %u%d]*", function(run)
    local compact, last = {}, 0
    for at, c in run:sub(1, 48):gmatch("()([%u%d])") do
      compact[#compact + 1] = c
      local n = #compact
      if n >= 15 and n <= 34 and is_iban(table.concat(compact)) then last = at break end
      if n > 34 then break end
    end
    if last == 0 then return nil end
    return placeholder(vault, "IBAN", run:sub(1, last)) .. run:sub(last + 1)
  end))
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
