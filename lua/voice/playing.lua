-- SPDX-License-Identifier: Apache-2.0
--- What of ours has been handed to the media thread and has not been heard to its end: pieces in their order, played one behind the other.
--- A piece: { id, ms = its length or nil, guard = nil | "speech" (speech does not interrupt it) | "all" (keys neither), filler, began = ms or nil,
---   left = ms that were to be heard at left_at, nil while that is not known }
local playing = {}
playing.__index = playing

local MOST = 64  -- as many as the media thread lets wait

--- @param o table  { slack_ms = how late the end of a piece may be told, piece_most_ms = where its length is not known }
function playing.new(o)
  return setmetatable({ o = o, list = {} }, playing)
end

function playing:empty() return #self.list == 0 end
function playing:head() return self.list[1] end
function playing:is_last() return #self.list == 1 end
function playing:guard() return self.list[1] and self.list[1].guard end

--- False when there are too many, or one of that id waits already.
function playing:add(piece, now)
  if #self.list >= MOST then return false end
  for _, other in ipairs(self.list) do
    if other.id == piece.id then return false end
  end
  local began = #self.list == 0 and now or nil
  self.list[#self.list + 1] = { id = piece.id, ms = piece.ms, guard = piece.guard, filler = piece.filler, began = began, left = piece.ms, left_at = began }
  return true
end

--- All of the piece of that id is there, and so many ms of it are still to be heard.
function playing:whole(id, ms, now)
  for i, piece in ipairs(self.list) do
    if piece.id == id then piece.left, piece.left_at = ms, i == 1 and now or nil end
  end
end

--- So many ms are still to be heard of all that was handed over, or nil when that is not known.
function playing:left_ms(now)
  local sum = 0
  for i, piece in ipairs(self.list) do
    if not piece.left then return nil end
    sum = sum + (i == 1 and math.max(0, piece.left - (now - piece.left_at)) or piece.left)
  end
  return sum
end

--- The piece of that id has ended, and so has what came before it: the piece, or nil when it is not here.
function playing:played(id, now)
  for i, piece in ipairs(self.list) do
    if piece.id == id then
      for _ = 1, i do table.remove(self.list, 1) end
      if self.list[1] then self.list[1].began, self.list[1].left_at = now, now end
      return piece
    end
  end
  return nil
end

--- So much of the piece of that id has gone out.
function playing:position(id, ms, now)
  local head = self.list[1]
  if head and head.id == id then head.began = now - ms end
end

function playing:clear() self.list = {} end

--- When the end of the first piece must have been told; what is silent for longer has been forgotten by somebody.
function playing:overdue_at()
  local head = self.list[1]
  return head and head.began + (head.ms or self.o.piece_most_ms) + self.o.slack_ms or nil
end

return playing
