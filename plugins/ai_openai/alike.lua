-- SPDX-License-Identifier: Apache-2.0
--- Chunks of a stream that differ from one read before in nothing but their text, as nearly all of an answer do: what such a one says is
--- read off, without its JSON being decoded once more. Pure.
local urlencoded = require "lib.urlencoded"

local alike = {}
alike.__index = alike

local KEY = '"content"'

local none = nil  -- a member that comes later has its place from the start

function alike.new() return setmetatable({ head = none, tail = none }, alike) end

--- Remembers a chunk that was decoded and said this text, and nothing else that counts.
function alike:keep(data, text)
  self.head = nil
  local _, key = data:find(KEY, 1, true)
  local from = key and data:match('^: ?"()', key + 1)
  -- Where another place could be meant, or the text is written in another way than it reads, only decoding tells.
  if not from or data:find(KEY, key + 1, true) or data:sub(from, from + #text) ~= text .. '"' then return end
  self.head, self.tail = data:sub(1, from - 1), data:sub(from + #text)
end

--- The text of a chunk that is like the one kept, or nil.
function alike:text(data)
  local head, tail = self.head, self.tail
  if not head then return nil end
  local last = #data - #tail
  if last <= #head or data:sub(1, #head) ~= head or data:sub(last + 1) ~= tail then return nil end
  local text = data:sub(#head + 1, last)
  if text:find('[%z\1-\31"\\]') or not urlencoded.is_text(text) then return nil end
  return text
end

return alike
