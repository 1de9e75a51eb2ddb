-- SPDX-License-Identifier: Apache-2.0
--- Text of unknown origin, made fit for logs, rows and JSON.
local urlencoded = require "lib.urlencoded"

local text = {}

--- At most `most` bytes of valid UTF-8; bytes that are none become "?".
function text.clean(given, most)
  local clean = urlencoded.is_text(given) and given or given:gsub("[%z\128-\255]", "?")
  if #clean <= most then return clean end
  clean = clean:sub(1, most)
  if not urlencoded.is_text(clean) then clean = clean:gsub("[\194-\244][\128-\191]*$", "") end  -- cut in the middle of a character
  return clean
end

return text
