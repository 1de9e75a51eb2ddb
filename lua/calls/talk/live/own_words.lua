-- SPDX-License-Identifier: Apache-2.0
--- What we say by our own voice while a realtime model leads. self.own: id -> { guard } of what is being said.
--- A part of calls.talk.live: each function takes its conversation.
local chunks = require "voice.chunks"
local log = require "core.log"

local own_words = {}

--- Says something by our own voice.
--- @param guard string|nil  see voice.playing
function own_words.say(self, text, guard)
  self.said = self.said + 1
  local cut = chunks.new()
  local pieces = cut:feed(text)
  for _, piece in ipairs(cut:finish()) do pieces[#pieces + 1] = piece end
  self.own[self.said] = { guard = guard }
  self.mouth:open(self.said, { guard = guard })
  self.mouth:speak(self.said, pieces, { kept = true })
  self.mouth:finish(self.said)
end

--- No more of that will be heard: it is written down. Parameters as mouth.heard gives them.
function own_words.heard(self, id, text, all, whole)
  if not self.own[id] then return end
  self.own[id] = nil
  self.chronicle:own(text, all, whole)
  if not self.is_over then self:keep() end
end

--- It could not be spoken. The model may still speak, and the caller be heard.
function own_words.failed(self, id, err)
  log.warn("converse.not_spoken", { call = self.call.id, class = err.class, text = err.text })
  own_words.heard(self, id, self.mouth:drop(id))
end

--- Nothing more of it is said, but what is guarded.
--- @param by_keys boolean|nil  they break off what only speech must not
function own_words.cut(self, by_keys)
  for id, own in pairs(self.own) do
    if not own.guard or by_keys and own.guard == "speech" then
      self.mouth:stop(id)
      own_words.heard(self, id, self.mouth:drop(id))
    end
  end
end

return own_words
