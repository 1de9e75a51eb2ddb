-- SPDX-License-Identifier: Apache-2.0
--- What we say in our own words: greetings, what is asked again, what covers a silence.
--- A part of calls.talk: each function takes its conversation; acts are what the machine of turns says.
local chunks = require "voice.chunks"
local escalation = require "calls.talk.escalation"
local timeline = require "voice.timeline"

local saying = { acts = {} }

--- The times of a reply (voice.timeline).
function saying.line(self, reply)
  local line = self.lines[reply]
  if not line then
    line = timeline.new()
    self.lines[reply] = line
  end
  return line
end

--- Says a text, as more of a reply that is open.
--- @param is_filler boolean|nil  it only fills a silence
function saying.speak(self, reply, text, is_filler)
  local cut = chunks.new()
  local pieces = cut:feed(text)
  for _, piece in ipairs(cut:finish()) do pieces[#pieces + 1] = piece end
  self.mouth:speak(reply, pieces, { filler = is_filler, kept = true })
end

--- Says something that answers nobody.
--- @param guard string|nil  see voice.playing
function saying.say(self, text, guard)
  self.sayings[#self.sayings + 1] = { text = text, guard = guard }
  self:tell("say")
end

--- Ends the conversation when the caller has heard what is being said. That it has lasted long enough is the least of reasons.
function saying.leave(self, how)
  if self.is_over or self.leaving and how == "limit" then return end
  self.leaving = how
  self:tell("leave", { how = how, firm = how == "limit", handed = how == "transfer" or how:find("^human:") ~= nil })
end

--- To a human, when he has heard that.
function saying.to_human(self, why) self:leave("human:" .. why) end

--- The same, said in the answer to a turn.
function saying.give_up(self, turn, why, text)
  saying.speak(self, turn.reply, text or self.says.human)
  self.mouth:finish(turn.reply)
  saying.to_human(self, why)
end

function saying.acts.speak(self, a)
  local one = table.remove(self.sayings, 1)
  if not one then return self:tell("replied", { reply = a.reply }) end
  saying.line(self, a.reply)
  self.mouth:open(a.reply, { guard = one.guard })
  saying.speak(self, a.reply, one.text)
  self.mouth:finish(a.reply)
end

function saying.acts.prompt(self, a)
  saying.line(self, a.reply)
  self.mouth:open(a.reply)
  local enough = a.why == "unclear" and a.n >= escalation.MISSES
  saying.speak(self, a.reply, enough and self.says.human or self.says[a.why])
  self.mouth:finish(a.reply)
  if enough then saying.to_human(self, "not_understood") end
end

function saying.acts.filler(self, a)
  if self.mouth:busy(a.reply) then return end
  saying.line(self, a.reply):count("filler")
  saying.speak(self, a.reply, self.says.filler[math.min(a.n, #self.says.filler)], true)
end

return saying
