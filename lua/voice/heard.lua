-- SPDX-License-Identifier: Apache-2.0
--- What a caller heard of a reply that was cut off: the words that ended before the cut. The history keeps these and no others.
---
---   "Your number is 4711. | Shall I put you through?"      played 900 ms of the first piece's 2,000
---   ~~~~~~~~~~~~~~~ heard
---
--- With the synthesiser's timings it is exact to the word; without, the text is spread over its audio by characters and marks, and the
--- length of pieces keeps the error under a clause.
local heard = {}

local CHARACTER_MS = 68           -- where nothing is known of a voice: about 3.8 syllables a second
local LEAST_MS, MOST_MS = 30, 200 -- of a character: what a piece of "5" or of "..." would say of its voice is not believed
local MOST_WORDS = 2000           -- of a piece
local DOUBT = 1                   -- characters, behind the gap that ends a word

-- A pause belongs to the mark before it, in characters.
local PAUSE = { [","] = 3, [";"] = 4, [":"] = 4, ["."] = 7, ["!"] = 7, ["?"] = 7 }

local function characters(text) return #(text:gsub("[\128-\191]", "")) end

-- The words of a text as { stop = last byte, weight }; in scripts without spaces each character is one. Digits are read out one by one.
local function words_of(text)
  local list = {}
  local function add(word, stop)
    if #list >= MOST_WORDS then
      list[#list].stop = stop
      return
    end
    local digits, pause = #(word:gsub("%D", "")), PAUSE[word:match("([,;:.!?])[\"')%]]*$")] or 0
    list[#list + 1] = { stop = stop, weight = characters(word) + digits * 4 + pause + 1, silent = pause }
  end
  for from, word, stop in text:gmatch("()(%S+)()") do
    if word:find("[\227-\237][\128-\191][\128-\191]") then
      for character, after in word:gmatch("([%z\1-\127\192-\255][\128-\191]*)()") do add(character, from + after - 2) end
    else
      add(word, stop - 1)
    end
  end
  return list
end

local function weight_of(list)
  local sum = 0
  for _, word in ipairs(list) do sum = sum + word.weight end
  return sum
end

-- By timings: the last byte of what ended by then. Marks that go back are a provider's mistake and say nothing.
local function by_marks(marks, played, bytes)
  local last, ms = 0, -math.huge
  for _, mark in ipairs(marks) do
    if mark.ms >= ms and mark.stop > last then
      if mark.ms > played then break end
      last, ms = mark.stop, mark.ms
    end
  end
  return math.min(last, bytes)
end

-- When the text up to that byte had been spoken.
local function ms_of(marks, stop)
  for _, mark in ipairs(marks) do
    if mark.stop >= stop then return mark.ms end
  end
  return 0
end

-- How many words had ended by then, and when the last of them had.
local function cut_of(piece, list, played, rate)
  if piece.marks and #piece.marks > 0 then
    local last, n = by_marks(piece.marks, played, #piece.text), 0
    for i, word in ipairs(list) do
      if word.stop > last then break end
      n = i
    end
    return n, n > 0 and ms_of(piece.marks, list[n].stop) or 0
  end
  -- While its audio still came, only the voice's rate says how long the piece would have been.
  local weight = weight_of(list)
  local ms = piece.whole and piece.ms or math.max(piece.ms or 0, weight * rate)
  local per, at, n, ended = weight > 0 and ms / weight or 0, 0, 0, 0
  for i, word in ipairs(list) do
    at = at + word.weight * per
    -- The pause behind a word need not have been waited for. In doubt it was not heard: said twice is better than never.
    if at - (word.silent - DOUBT) * per > played then break end
    n, ended = i, at
  end
  return n, ended
end

-- The voice's ms a unit of weight, from the pieces whose whole length is known.
local function rate_of(pieces, lists)
  local ms, weight = 0, 0
  for i, piece in ipairs(pieces) do
    if piece.whole and piece.ms and piece.ms > 0 then
      ms, weight = ms + piece.ms, weight + weight_of(lists[i])
    end
  end
  if weight == 0 then return CHARACTER_MS end
  return math.min(MOST_MS, math.max(LEAST_MS, ms / weight))
end

--- @param pieces table  in their order: { text, ms = length of the audio that is known, whole = all of its audio had come, played = ms that were
---   sent to the caller, true for all, nil for none, marks = the synthesiser's timings as { { stop = byte at which a word or character ends,
---   ms = when it has been spoken } } or nil }
--- @param late_ms number|nil  of what was sent, so much had not reached his ear when it was stopped
--- @return string, boolean  the text, and whether it is all there was
function heard.of(pieces, late_ms)
  local said, lists = {}, {}
  for i, piece in ipairs(pieces) do lists[i] = words_of(piece.text) end
  local rate = rate_of(pieces, lists)
  for i, piece in ipairs(pieces) do
    if piece.played == true then
      said[#said + 1] = piece.text
    else
      local list = lists[i]
      local played = (piece.played or 0) - (late_ms or 0)
      local n = played > 0 and cut_of(piece, list, played, rate) or 0
      if n > 0 then said[#said + 1] = piece.text:sub(1, list[n].stop) end
      if n < #list then return table.concat(said, " "), false end
    end
  end
  return table.concat(said, " "), true
end

--- Where a piece that was cut off is gone on with, in ms of its audio: behind the last word that was heard, so that none is torn.
--- @param late_ms number|nil  as above
function heard.resume_ms(piece, late_ms)
  local played = math.max(0, (piece.played or 0) - (late_ms or 0))
  local list = words_of(piece.text)
  if #list == 0 then return played end
  local _, ended = cut_of(piece, list, played, rate_of({ piece }, { list }))
  return math.floor(math.min(played, ended))
end

--- As the history has it: the text, with a mark where it was cut; nil when nothing was heard, and the turn is left out.
function heard.for_history(text, all)
  if text == "" then return nil end
  return all and text or text .. " \226\128\166"
end

return heard
