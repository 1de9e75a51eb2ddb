-- SPDX-License-Identifier: Apache-2.0
--- Text cut into sentences, and text to be spoken cut at one. Takes any bytes and time in proportion to them.
local text_of = require "lib.text"

local sentences = {}

local abbreviations = {}
for word in ("mr mrs ms dr prof st nr no vs inc ltd co ca bzw usw etc approx tel str evtl ggf inkl zzgl sr sra av min max"):gmatch("%S+") do abbreviations[word] = true end

-- Ends that need no space behind them: 。 ！ ？ …
local WIDE = { ["\227\128\130"] = true, ["\239\188\129"] = true, ["\239\188\159"] = true }

--- Without space at both ends.
function sentences.trim(text)
  if not text:find("%S") then return "" end
  return (text:match("^%s*(.*%S)"))
end

-- Is the full stop at that place one of "Dr." or "3."?
local function abbreviated(text, at)
  local before = text:sub(math.max(1, at - 8), at - 1)
  local word = before:match("(%a+)$")
  if word then return #word == 1 or abbreviations[word:lower()] == true end
  local digits = before:match("(%d+)$")
  return digits ~= nil and #digits <= 2
end

-- Where the sentence that begins at `from` ends, and where the next one begins; nil: its end has not come.
local function next_end(text, from)
  local at = from
  while true do
    at = text:find("[.!?\n\227\239]", at)
    if not at then return nil end
    local byte = text:byte(at)
    if byte == 10 then
      local after = text:match("^%s*()", at)
      if text:sub(at, after - 1):find("\n[ \t\r]*\n") or text:find("^[%-*#|>]", after) then return at - 1, after end
      at = at + 1
    elseif byte >= 128 then
      if WIDE[text:sub(at, at + 2)] then return at + 2, at + 3 end
      at = at + 1
    else
      local stop = text:match("^[.!?]+()", at)
      local after = text:match("^[\"')%]]*()", stop)
      if text:find("^%s", after) and not (stop - at == 1 and byte == 46 and abbreviated(text, at)) then
        return after - 1, text:match("^%s*()", after)
      end
      at = after
    end
  end
end

--- The sentences of a text, without the space between them.
function sentences.of(text)
  local list, from = {}, 1
  while from <= #text do
    local last, after = next_end(text, from)
    local sentence = sentences.trim(text:sub(from, last or -1))
    if sentence ~= "" then list[#list + 1] = sentence end
    if not last then break end
    from = after
  end
  return list
end

--- What has come of a text in pieces: everything up to the end of its last whole sentence (the space behind it included), and the rest.
function sentences.split(text)
  local from = 1
  while true do
    local _, after = next_end(text, from)
    if not after then return text:sub(1, from - 1), text:sub(from) end
    from = after
  end
end

--- The sentences of a text with the space behind each: a list that joined is the text.
function sentences.pieces(text)
  local list, from = {}, 1
  while from <= #text do
    local _, after = next_end(text, from)
    list[#list + 1] = text:sub(from, after and after - 1 or -1)
    if not after then break end
    from = after
  end
  return list
end

--- At most so many bytes, cut behind a sentence; where the first one is longer already, behind a word. Returns the text, and whether
--- anything was cut.
function sentences.cut(text, bytes)
  if #text <= bytes then return text, false end
  local from, kept = 1, 0
  while true do
    local last, after = next_end(text, from)
    if not last or last > bytes then break end
    kept, from = last, after
  end
  if kept > 0 and text:sub(1, kept):find("%S") then return text:sub(1, kept), true end
  local piece = text_of.cut(text, bytes)
  if not text:find("^%s", #piece + 1) and piece:find("%s") then piece = piece:match("^(.*)%s") end
  return sentences.trim(piece), true
end

return sentences
