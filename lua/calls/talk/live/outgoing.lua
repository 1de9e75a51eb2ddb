-- SPDX-License-Identifier: Apache-2.0
--- What a realtime model is told in words, without cards' numbers: in whatever parts they were said or pressed, from the part on that makes one whole. What it hears it
--- hears as it is.
--- A part of calls.talk.live: each function takes its conversation.
local json = require "core.json"
local redact = require "ai.guard.redact"

local outgoing = {}

local SAID_MOST = 24  -- turns of the caller that a number may be told over
local FEW = 3         -- behind a card's number fewer keys are an answer: "press 1"

--- The caller said that, and the model heard it: a number may go on in what it is told next.
--- @param turn any  whose words they are: they come in the place of that turn's before
function outgoing.heard(self, turn, text)
  local said = self.words_told
  if said.turn ~= turn then said[#said + 1] = "" end
  said.turn, said[#said] = turn, text
  if #said > SAID_MOST then table.remove(said, 1) end
end

--- Words of the caller, as the model may be told them.
function outgoing.words(self, turn, text)
  outgoing.heard(self, turn, text)
  return redact.cards_said(self.words_told)[#self.words_told]
end

local function is_card(self) return self.world.is_card ~= nil and self.world.is_card() end

--- The caller begins to press keys.
function outgoing.keys_begin(self) self.card_before = is_card(self) end

--- What he has pressed since, in words.
function outgoing.keys(self, pressed)
  local few = self.card_before and #pressed:gsub("%D", "") < FEW
  local text = outgoing.words(self, {}, "(presses " .. pressed .. ")")
  return is_card(self) and not few and "(presses [CARD])" or text
end

--- A tool's result.
--- @param text string  the result as JSON
function outgoing.result(result, text)
  local shown = redact.cards_in(result)
  return shown == result and text or json.encode(shown)
end

return outgoing
