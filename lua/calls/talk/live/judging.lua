-- SPDX-License-Identifier: Apache-2.0
--- What the caller's words are to us while a realtime model leads: that he wants a human, is angry, or was not understood.
--- A part of calls.talk.live: each function takes its conversation.
local escalation = require "calls.talk.escalation"
local floor = require "calls.talk.live.floor"
local leaving = require "calls.talk.live.leaving"
local sentiment = require "calls.talk.sentiment"

local judging = {}

--- Has he asked for a human, or is he angry? Then he is put through.
function judging.words(self, turn)
  if turn.judged == turn.text or not turn.text:find("%S") then return end
  turn.judged, self.misses = turn.text, 0
  if turn.typed then return end
  if escalation.asks_for_human(turn.text, self.args.language) then
    floor.interrupt(self)
    return leaving.to_human(self, "asked_for", self.says.human)
  end
  local _, anger = sentiment.of(turn.text, self.args.language)
  if self.args.anger == false or sentiment.temper(self.temper, anger) < sentiment.ANGRY then return end
  floor.interrupt(self)
  leaving.to_human(self, "anger", self.says.upset)
end

--- He spoke, and nothing of it was understood: once too often?
function judging.nothing(self, turn)
  if turn.text:find("%S") or turn.typed or not self.caller:was_long(turn) then return end
  local enough
  self.misses, enough = escalation.missed(self.misses, false)
  if not enough then return end
  floor.interrupt(self)
  leaving.to_human(self, "not_understood", self.says.human)
end

return judging
