-- SPDX-License-Identifier: Apache-2.0
--- Text from scripts and carriers, made fit for columns, records and JSON.
local urlencoded = require "lib.urlencoded"

local text = {}

--- The text with at most so many bytes, cut between characters.
function text.cut(s, bytes)
  if #s <= bytes then return s end
  local stop = bytes
  while stop > 0 and s:byte(stop + 1) >= 0x80 and s:byte(stop + 1) <= 0xbf do stop = stop - 1 end
  return s:sub(1, stop)
end

--- The text as UTF-8: what is none stands as "?". At most so many bytes.
function text.clean(s, bytes)
  if not urlencoded.is_text(s) then
    s = s:gsub("%z", "?"):gsub("[\128-\255]+", function(run) return not urlencoded.is_text(run) and ("?"):rep(#run) or nil end)
  end
  return text.cut(s, bytes)
end

--- Is there anything in it but marks and blanks?
function text.has_words(s)
  if s:find("%w") then return true end
  return s:gsub("\226[\128\129][\128-\191]", ""):gsub("\194[\128-\191]", ""):find("[\128-\255]") ~= nil
end

return text
