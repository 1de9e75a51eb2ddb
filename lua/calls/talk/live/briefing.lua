-- SPDX-License-Identifier: Apache-2.0
--- What a realtime model is told before it listens.
--- A part of calls.talk.live: each function takes its conversation.
local history = require "calls.talk.history"
local mind = require "calls.talk.mind"
local slots = require "calls.talk.slots"

local briefing = {}

--- What was said before, as messages: with what we say to the caller meanwhile.
function briefing.messages(self, saying)
  local said = history.new(self.chronicle.history:kept())
  said:add(nil, nil, saying, true)
  return said:messages()
end

--- What it is to do.
function briefing.instructions(self)
  local language = self.args.language
  return mind.system(self.call, self.args) .. (self.slots and "\n\n" .. slots.rule(self.slots) or "")
    .. (language and ("\n\nThe language of this call is \"%s\"."):format(language) or "")
end

return briefing
