-- SPDX-License-Identifier: Apache-2.0
--- How much of what a recogniser tells is taken: its texts are looked through for what must not be kept, and for what they ask for, which takes
--- as long as they are. No I/O.
local bounds = {}

local TEXT_MOST = 64 * 1024  -- bytes of one text: an hour of speech, and a few hundredths of a second to look through

--- The failure that an event is: it says so itself, or its text is more than anybody says at a time; or nil.
function bounds.failure_in(event)
  if event.type == "error" then return event end
  if event.text and #event.text > TEXT_MOST then return { class = "protocol", text = ("more than %d KiB of text in one utterance"):format(TEXT_MOST / 1024) } end
  return nil
end

return bounds
