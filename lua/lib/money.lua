-- SPDX-License-Identifier: Apache-2.0
--- Money is a whole number of millionths of a currency; the API shows decimals as text.
--- Exact: text in, text out, never a floating fraction in between.
local money = {}

money.MICROS = 1000000
local LIMIT = 9007199254  -- whole units: beyond it a double is not exact any more

--- "12.5" -> 12500000; nil, message for anything else.
function money.parse(text)
  local sign, whole, fraction = text:match("^(-?)(%d+)%.?(%d*)$")
  if not whole or text:sub(-1) == "." then return nil, "is not an amount; write it like \"12.50\"" end
  if #fraction > 6 then return nil, "has more than six decimals" end
  if #whole > 10 or tonumber(whole) >= LIMIT then return nil, "is too large" end
  local micros = tonumber(whole) * money.MICROS + tonumber(fraction .. ("0"):rep(6 - #fraction))
  return sign == "-" and -micros or micros
end

--- 12500000 -> "12.50": two decimals at least, more when they are needed.
function money.format(micros)
  local sign = micros < 0 and "-" or ""
  local value = math.abs(micros)
  local whole = math.floor(value / money.MICROS)
  local fraction = ("%06d"):format(value - whole * money.MICROS)
  fraction = fraction:sub(1, 2) .. fraction:sub(3):gsub("0+$", "")
  return ("%s%.0f.%s"):format(sign, whole, fraction)
end

return money
