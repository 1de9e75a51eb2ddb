-- SPDX-License-Identifier: Apache-2.0
--- Words that hold up a caller who is about to be put through.
--- A part of calls.talk.live: each function takes its conversation.
local floor = require "calls.talk.live.floor"
local leaving = require "calls.talk.live.leaving"
local lexicon = require "voice.lexicon"
local outgoing = require "calls.talk.live.outgoing"
local reading = require "voice.reading"

local objection = {}

local OPEN = { kind = "open" }

-- Does he want something else than a human? "Mm-hm" and "thank you" are no such words.
local function objects(self, text, final)
  local language = self.args.language
  local want = reading.wants(text, OPEN, language, final)
  if want == "none" or want == "backchannel" then return false end
  local folded, of = reading.fold(text), lexicon.of(language)
  return not lexicon.only(of.closed, folded, of.backchannel) or lexicon.has(of.no, folded)
end

--- Words have come: do they hold him up? Not where they are of a turn for which he is put through.
--- @param event table  user_text of the session
--- @param turn table   of calls.talk.exchanges, which has them
function objection.heard(self, event, turn)
  local waits = false
  for _, other in ipairs(self.exchanges:waiting()) do waits = waits or other == turn end
  if not waits and event.turn <= self.left_at or not objects(self, event.text, event.final) then return end
  local unheard = waits and self.unheard
  if unheard and not event.final then return end
  if waits then floor.interrupt(self) else leaving.stay(self) end
  if not unheard then return end
  -- What it answered was for nobody.
  self.unheard, self.awaits = nil, true
  self.session:text(outgoing.words(self, event.turn, event.text))
end

return objection
