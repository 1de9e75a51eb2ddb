-- SPDX-License-Identifier: Apache-2.0
--- How long a server asks to be left alone: `retry-after-ms`, and `retry-after` as seconds or as an HTTP date (RFC 9110, sections 10.2.3 and 5.6.7).
--- Arithmetic only; the time is given.
local retry_after = {}

-- Longer than any limit that ends by itself; whoever says more is not to be believed to the second.
local MOST_S = 31 * 86400

local MONTHS = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11, dec = 12 }

-- Days since 1970 of a date of the Gregorian calendar, years beginning in March so that the leap day is the last.
local function days(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400) + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

--- Seconds since 1970 of an HTTP date in any of its three forms, or nil.
--- @param now_s number  for the two digits of a year in the oldest form but one
function retry_after.date(text, now_s)
  local day, month, year, h, m, s = text:match("^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  if not day then
    day, month, year, h, m, s = text:match("^%a+, (%d%d)%-(%a%a%a)%-(%d%d) (%d%d):(%d%d):(%d%d) GMT$")
    if day then
      -- Of the years that end so, the one that is not more than fifty ahead.
      local this_year = 1970 + math.floor(now_s / 31556952)
      year = this_year - this_year % 100 + tonumber(year)
      if year > this_year + 50 then year = year - 100 end
    end
  end
  if not day then month, day, h, m, s, year = text:match("^%a%a%a (%a%a%a) ([ %d]%d) (%d%d):(%d%d):(%d%d) (%d%d%d%d)$") end
  month = month and MONTHS[month:lower()]
  if not month then return nil end
  day, h, m, s = tonumber(day), tonumber(h), tonumber(m), tonumber(s)
  if day < 1 or day > 31 or h > 23 or m > 59 or s > 60 then return nil end
  return days(tonumber(year), month, day) * 86400 + h * 3600 + m * 60 + s
end

-- A number of seconds that can be waited, or nil.
local function seconds(value)
  if not value or value ~= value or value < 0 then return nil end
  return math.min(value, MOST_S)
end

-- Only digits: tonumber() alone would take "0x10", "1e9", "nan" and "inf".
local function number(text)
  return text:match("^%s*%d+%.?%d*%s*$") and tonumber(text) or nil
end

local function header(headers, name)
  local value = headers[name]
  if value == nil then
    for key, other in pairs(headers) do
      if key:lower() == name then value = other break end
    end
  end
  return type(value) == "string" and value or nil
end

--- The seconds to wait, zero for a date that has passed, at most 31 days; nil when nothing is said that can be read.
--- `retry-after-ms` is the finer and goes first.
--- @param headers table  by name, in any case
--- @param now_s number  seconds since 1970
function retry_after.seconds(headers, now_s)
  local ms = header(headers, "retry-after-ms")
  local found = ms and number(ms)
  if found then return seconds(found / 1000) end
  local text = header(headers, "retry-after")
  if not text then return nil end
  found = number(text)
  if found then return seconds(found) end
  local at = retry_after.date(text:match("^%s*(.-)%s*$"), now_s)
  return at and seconds(math.max(0, at - now_s)) or nil
end

--- What the server says of another try (`x-should-retry`): true, false or nil.
function retry_after.wanted(headers)
  local word = header(headers, "x-should-retry")
  if word == "true" then return true end
  if word == "false" then return false end
  return nil
end

return retry_after
