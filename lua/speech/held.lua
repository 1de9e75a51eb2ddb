-- SPDX-License-Identifier: Apache-2.0
--- What a recogniser was told and has not answered yet: the sound that the next one is to hear when this one fails.
--- A list of utterances, each a list of pieces; the last is the one that is being spoken. Bounded: the oldest sound goes first.
local held = {}
held.__index = held

local MOST_SECONDS = 60

--- @param rate number  Hz of 16 bit mono
function held.new(rate)
  return setmetatable({ bytes_per_ms = rate * 2 / 1000, utterances = { { pieces = {}, bytes = 0 } }, bytes = 0, end_ms = 0, lost_ms = 0 }, held)
end

local function drop_piece(self, utterance)
  local piece = table.remove(utterance.pieces, 1)
  utterance.bytes, self.bytes = utterance.bytes - #piece.pcm, self.bytes - #piece.pcm
  return piece
end

--- Takes in sound. Positions are ms since the first.
function held:add(pcm)
  local last = self.utterances[#self.utterances]
  self.end_ms = self.end_ms + #pcm / self.bytes_per_ms
  last.pieces[#last.pieces + 1] = { pcm = pcm, end_ms = self.end_ms }
  last.bytes, self.bytes = last.bytes + #pcm, self.bytes + #pcm
  while self.bytes > MOST_SECONDS * 1000 * self.bytes_per_ms do
    local first = self.utterances[1]
    if #first.pieces > 0 then
      self.lost_ms = self.lost_ms + #drop_piece(self, first).pcm / self.bytes_per_ms
    else
      table.remove(self.utterances, 1)
    end
  end
end

--- The utterance being spoken is over. Returns it.
function held:close()
  local last = self.utterances[#self.utterances]
  last.closed, last.end_ms = true, self.end_ms
  self.utterances[#self.utterances + 1] = { pieces = {}, bytes = 0 }
  return last
end

--- The first utterance that is over, or nil.
function held:first_closed()
  local first = self.utterances[1]
  return first.closed and first or nil
end

--- Its sound, and where it began in ms.
function held:pcm_of(utterance)
  local list = {}
  for i, piece in ipairs(utterance.pieces) do list[i] = piece.pcm end
  return table.concat(list), (utterance.end_ms or self.end_ms) - utterance.bytes / self.bytes_per_ms
end

--- The first closed utterance has its answer.
function held:answered()
  local first = self:first_closed()
  if not first then return end
  self.bytes = self.bytes - first.bytes
  table.remove(self.utterances, 1)
end

--- All up to a position has been understood.
function held:heard(until_ms)
  for _, utterance in ipairs(self.utterances) do
    while utterance.pieces[1] and utterance.pieces[1].end_ms <= until_ms do drop_piece(self, utterance) end
    if #utterance.pieces > 0 then return end
  end
end

--- Where what is held begins, in ms.
function held:start_ms() return self.end_ms - self.bytes / self.bytes_per_ms end

--- All that is held, in its order: fn(pcm) for each piece, fn(nil, utterance) where one ends.
function held:replay(fn)
  for _, utterance in ipairs(self.utterances) do
    for _, piece in ipairs(utterance.pieces) do fn(piece.pcm) end
    if utterance.closed then fn(nil, utterance) end
  end
end

return held
