-- SPDX-License-Identifier: Apache-2.0
--- Percent-encoding in paths and query strings, and whether text is UTF-8.
local urlencoded = {}

--- True for well-formed UTF-8 without NUL.
function urlencoded.is_text(s)
  if not s:find("[%z\128-\255]") then return true end
  if s:find("%z") then return false end
  local i, n = 1, #s
  while i <= n do
    local c = s:byte(i)
    local extra, least
    if c < 0x80 then extra = 0
    elseif c >= 0xc2 and c <= 0xdf then extra, least = 1, 0x80
    elseif c >= 0xe0 and c <= 0xef then extra, least = 2, c == 0xe0 and 0xa0 or 0x80
    elseif c >= 0xf0 and c <= 0xf4 then extra, least = 3, c == 0xf0 and 0x90 or 0x80
    else return false end
    for k = 1, extra do
      local t = s:byte(i + k)
      if not t or t < 0x80 or t > 0xbf then return false end
      if k == 1 and (t < least or (c == 0xed and t > 0x9f) or (c == 0xf4 and t > 0x8f)) then return false end
    end
    i = i + extra + 1
  end
  return true
end

--- Decodes %XX (and + where plus is true); nil when it is malformed or not UTF-8.
function urlencoded.decode(text, plus)
  if plus then text = text:gsub("+", " ") end
  if text:find("%", 1, true) then
    if text:gsub("%%%x%x", ""):find("%", 1, true) then return nil end
    text = text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  end
  return urlencoded.is_text(text) and text or nil
end

--- "a=1&b=2" -> { a = "1", b = "2" } | nil, message
function urlencoded.query(text)
  local values, count = {}, 0
  for pair in text:gmatch("[^&]+") do
    local raw_name, raw_value = pair:match("^([^=]*)=?(.*)$")
    local name, value = urlencoded.decode(raw_name, true), urlencoded.decode(raw_value, true)
    if not name or not value then return nil, "the query string is not percent-encoded UTF-8" end
    if values[name] ~= nil then return nil, ("the parameter '%s' is given twice"):format(name) end
    count = count + 1
    if count > 64 then return nil, "the query string has more than 64 parameters" end
    values[name] = value
  end
  return values
end

return urlencoded
