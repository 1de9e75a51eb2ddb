-- SPDX-License-Identifier: Apache-2.0
--- A recogniser that understands all, with the delays of a real one: what the caller says as { at, kind = "partial" | "final", text }.
---
---   voice  ~~~~~~~~~~~~~~~~_______~~~~~~~~~        a pause of SEGMENT_MS ends a segment
---   tells     p    p    p    f       p    p   f    partial: each PARTIAL_MS the words that have ended LATE_MS ago; final: FINAL_MS behind the end
local recogniser = {}

local SEGMENT_MS, PARTIAL_MS, LATE_MS, FINAL_MS = 300, 200, 100, 150

-- The words of a piece of speech, each with its end: spread over its time by their letters.
local function words_of(speech)
  local list, letters = {}, 0
  for word in speech.text:gmatch("%S+") do
    letters = letters + #word + 1
    list[#list + 1] = { text = word, letters = letters }
  end
  for _, word in ipairs(list) do word.ends = speech.begin + (speech["end"] - speech.begin) * word.letters / letters end
  return list
end

local DIGITS = {}
for word in ("zero one two three four five six seven eight nine double null eins zwei drei vier neun"):gmatch("%a+") do DIGITS[word] = true end

local function is_digits(text)
  for word in text:gmatch("%S+") do
    if not DIGITS[word] then return false end
  end
  return true
end

local function plain(text) return (text:gsub("[.,;:!?]", ""):lower()) end

local function text_until(words, at, marked)
  local list = {}
  for _, word in ipairs(words) do
    if word.ends <= at then list[#list + 1] = word.text end
  end
  local text = table.concat(list, " ")
  return marked and (text:gsub("[.!?]$", "")) or plain(text)
end

local function segments_of(speech)
  local list = {}
  for _, piece in ipairs(speech) do
    if piece.heard then
      local last = list[#list]
      if not last or piece.begin - last.ends >= SEGMENT_MS then
        last = { begin = piece.begin, words = {}, text = {} }
        list[#list + 1] = last
      end
      for _, word in ipairs(words_of(piece)) do last.words[#last.words + 1] = word end
      last.ends, last.text[#last.text + 1] = piece["end"], piece.text
    end
  end
  return list
end

--- @param speech table   of a call's truth
--- @param marked boolean  it sets marks and capitals, and a full stop behind each segment of digits, as many do; else words alone
function recogniser.tells(speech, marked)
  table.sort(speech, function(a, b) return a.begin < b.begin end)
  local told = {}
  for _, segment in ipairs(segments_of(speech)) do
    local last = ""
    for at = segment.begin + PARTIAL_MS, segment.ends + FINAL_MS - 1, PARTIAL_MS do
      local text = text_until(segment.words, at - LATE_MS, marked)
      if text ~= last then
        told[#told + 1] = { at = at, kind = "partial", text = text }
        last = text
      end
    end
    local text = table.concat(segment.text, " ")
    if not marked then
      text = plain(text)
    elseif is_digits(text) then
      text = text .. "."
    end
    told[#told + 1] = { at = segment.ends + FINAL_MS, kind = "final", text = text }
  end
  return told
end

return recogniser
