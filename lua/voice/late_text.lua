-- SPDX-License-Identifier: Apache-2.0
--- Text that comes when its turn was committed already: a recogniser settles what it had said before, or goes on in the same segment.
---
---   committed on    "I want to book"
---   then comes      "I want to book."           the same: nothing new
---                   "I want to book a table"    he goes on with "a table"
---                   "I want to look"            without new voice: a correction, for the history
local reading = require "voice.reading"
local text_of = require "lib.text"

local late_text = {}

local MOST_BYTES = 4000  -- longer segments are not compared: a settled one then stands for itself

-- What is behind the words of `before` (folded) in a text that begins with them.
local function behind(text, before)
  local bytes = 1
  for word, stop in text:gmatch("(%S+)()") do
    bytes = bytes + math.max(1, #reading.fold(word, MOST_BYTES)) - 1
    if bytes >= #before then return text:sub(stop) end
  end
  return ""
end

--- What of a text is new: nil when it is nothing; the text that the committed turn has by now, when the recogniser changed its mind; and
--- what stands before the new words in their segment, but was committed.
--- @param self table  the machine: last, utterance, now, o
function late_text.of(self, text, final)
  local last = self.last
  if not last or not last.outstanding then return text end
  if (not last.goes_on and self.now - last.at > self.o.late_ms) or #text > MOST_BYTES or #last.outstanding > MOST_BYTES then
    last.outstanding = nil
    return text
  end
  local before, now = reading.fold(last.outstanding, MOST_BYTES), reading.fold(text, MOST_BYTES)
  local had_voice = self.utterance ~= nil and (self.utterance.on_since ~= nil or self.utterance.voiced > 0)
  -- What comes after the settled text is another segment's.
  local raw = last.outstanding
  if not final and #now < #before and before:sub(1, #now) == now then return nil end
  if final or (before ~= now:sub(1, #before) and had_voice) then last.outstanding = nil end
  if before ~= "" and now:sub(1, #before) == before then
    last.goes_on = last.goes_on or now ~= before
    return behind(text, before), nil, raw
  end
  if had_voice then return text end
  if not final or now == "" then return nil end
  return nil, (last.before ~= "" and last.before .. " " or "") .. text_of.clean(text, MOST_BYTES)
end

return late_text
