-- SPDX-License-Identifier: Apache-2.0
--- The guard of an answer that comes in pieces. Text leaves in whole words, or in whole sentences where sentences are checked; what has
--- left is not taken back.
local sentences = require "kb.sentences"

local stream = {}
stream.__index = stream

local MOST_HELD = 4096  -- a word or sentence longer than this leaves in parts

--- @param check function  text -> text: of a whole word or sentence
--- @param by_sentence boolean
--- @param most number|nil  bytes in all; what would be more is left out, from a whole sentence on where sentences are checked
function stream.new(check, by_sentence, most)
  return setmetatable({ check = check, by_sentence = by_sentence, left = most, held = "", full = false }, stream)
end

function stream:out(piece)
  if piece == "" or self.full then return "" end
  local text = self.check(piece)
  if not self.left then return text end
  if #text > self.left then
    self.full = true
    text = not self.any and sentences.cut(text, self.left) or ""
  end
  self.left = self.left - #text
  self.any = self.any or text:find("%S") ~= nil
  return text
end

--- Takes a piece of the answer and returns what may leave now, perhaps "". When stream.full, no more will: the request may be cancelled.
function stream:feed(piece)
  if self.full then return "" end
  self.held = self.held .. piece
  local ready, rest
  if self.by_sentence then
    ready, rest = sentences.split(self.held)
  else
    ready, rest = self.held:match("^(.*%s)(.*)$")
    if not ready then ready, rest = "", self.held end
  end
  if #rest > MOST_HELD then
    local whole, tail = rest:match("^(.*%s)(.*)$")
    if not whole or #tail > MOST_HELD then whole, tail = rest, "" end
    ready, rest = ready .. whole, tail
  end
  self.held = rest
  if not self.by_sentence or ready == "" then return self:out(ready) end
  -- Each by itself, so that one that is left out takes no other along.
  local out = {}
  for _, sentence in ipairs(sentences.pieces(ready)) do
    out[#out + 1] = self:out(sentence)
    if self.full then break end
  end
  return table.concat(out)
end

--- The rest, when the answer has ended.
function stream:finish()
  local rest = self.held
  self.held = ""
  return self:out(rest)
end

return stream
