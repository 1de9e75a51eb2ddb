-- SPDX-License-Identifier: Apache-2.0
--- What is done when the caller speaks over us.
--- A part of calls.talk: each function takes its conversation; acts are what the machine of turns says.
local answering = require "calls.talk.answering"
local saying = require "calls.talk.saying"
local sentiment = require "calls.talk.sentiment"

local talked_over = { acts = {} }

-- Our silence begins with it, when it is no false alarm.
local function mark_stop(self, a)
  local line = saying.line(self, a.reply)
  if a.began then line:mark("voice_began", a.began) end
  line:mark("stopping", self.world.now())
end

function talked_over.acts.hush(self, a)
  mark_stop(self, a)
  self.mouth:stop(a.reply)
end

function talked_over.acts.duck(self, a)
  saying.line(self, a.reply):mark("ducked", self.world.now())
  self.mouth:duck(-a.db)
end

function talked_over.acts.unduck(self) self.mouth:duck(0) end

function talked_over.acts.stop(self, a)
  mark_stop(self, a)
  self.mouth:stop(a.reply)
  if a.why == "stale" then self.mouth:drop(a.reply) end
end

--- Nothing more comes of a reply: what was heard of it stands.
function talked_over.cut_off(self, reply)
  local turn = self.turns[reply]
  if turn then
    answering.end_thought(turn)
    turn.steps = turn.steps or turn.thought and turn.thought.steps
  end
  self:said(reply, self.mouth:drop(reply))
end

function talked_over.acts.drop(self, a) talked_over.cut_off(self, a.reply) end

function talked_over.acts.resume(self, a)
  saying.line(self, a.reply):resumed(self.world.now())
  self.mouth:resume(a.reply)
end

function talked_over.acts.aside(self, a)
  local now = self.world.now()
  self:write{ party = "caller", text = a.text, began_ms = now, ended_ms = now, sentiment = (sentiment.of(a.text, self.args.language)) }
end

return talked_over
