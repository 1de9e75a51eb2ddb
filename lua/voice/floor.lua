-- SPDX-License-Identifier: Apache-2.0
--- How the floor changes hands: each way from the caller to us and back, with the actions that go with it.
--- A part of voice.turns: each function takes its machine.
local playing = require "voice.playing"
local utterance = require "voice.utterance"

local floor = {}

function floor.act(self, name, action)
  action.act = name
  self.actions[#self.actions + 1] = action
end
local act = floor.act

--- What the caller is saying; begun at that time when it is nothing yet.
function floor.utterance(self, at)
  if not self.utterance then
    self.turn = self.turn + 1
    self.utterance = utterance.new(self.turn, at)
  end
  return self.utterance
end

--- What was said is over: the utterance, or nil. Voice that goes on is the next one's: the VAD does not tell of it again.
function floor.close(self)
  local u = self.utterance
  self.utterance = nil
  if u and u.on_since then floor.utterance(self, self.now):voice(self.now) end
  return u
end

function floor.cancel_eager(self, u)
  act(self, "cancel_model", { turn = u.id, try = u.eager.try })
  u.eager = nil
end

--- What was said counts no more.
function floor.forget(self)
  local u = floor.close(self)
  if u and u.eager then floor.cancel_eager(self, u) end
end

--- A reply of ours begins: to a turn, or by itself.
function floor.open_reply(self, why, u)
  self.replies = self.replies + 1
  self.reply = { id = self.replies, why = why, utterance = u, pieces = playing.new(self.o), waiting_since = self.now, silent_since = self.now, fillers = 0 }
  self.floor = "reply"
  return self.reply
end

local function to_caller(self)
  self.floor, self.reply, self.silence_from = "caller", nil, self.now
end

--- Does what he has said hold it up that he is left? What is not settled counts as it is before it would be set aside.
function floor.objects(self, u)
  local late = u.quiet_since and self.now >= u.quiet_since + self.o.aside_ms
  return u:has_words() and u:objects(self.language, self.leave.handed, late)
end

--- He is not to be left now: he has something to say.
local function stay(self)
  if not self.leave then return end
  act(self, "stay", { how = self.leave.how })
  self.leave = nil
end

-- What the recogniser has not settled, as it tells it: with what of the segment stands in the turn already.
local function outstanding(u)
  if u.partial == "" then return nil end
  return u.stripped and u.stripped .. " " .. u.partial or u.partial
end

--- The turn has ended.
--- @param pressed string|nil  the keys
function floor.commit(self, by, pressed)
  local u = floor.close(self)
  if not u then  -- keys, and nothing was said
    u = floor.utterance(self, self.key_at)
    self.utterance = nil
  end
  if u.eager and (pressed or u.eager.folded ~= u:folded()) then floor.cancel_eager(self, u) end
  u.long, u.ended, u.keyed = by == "long" or nil, u.quiet_since or (by == "noise" and u.text_at) or self.now, pressed ~= nil
  local reply = floor.open_reply(self, "turn", u)
  act(self, "commit", { turn = u.id, reply = reply.id, text = u:text(), keys = pressed, by = by, began = u.began, ended = u.ended,
    waited = self.now - u.ended, ending = u:ending(self.expect, self.language), eager = u.eager and u.eager.try })
  self.last = { utterance = u, outstanding = outstanding(u), before = u.settled, at = self.now }
  u.eager = nil
  self.silences, self.unclear = 0, 0
  stay(self)
end

local COUNTED = { silence = "silences", unclear = "unclear", no_reply = "unanswered" }

--- Asks again, or gives up.
function floor.prompt(self, why)
  floor.forget(self)
  local name = COUNTED[why]
  self[name] = self[name] + 1
  to_caller(self)
  if self[name] > self.o.prompts then
    self.over = true
    return act(self, "give_up", { why = why })
  end
  act(self, "prompt", { reply = floor.open_reply(self, "prompt").id, why = why, n = self[name] })
end

--- May the turn that is being answered still be gone on with?
function floor.may_take_back(self, reply)
  local u = reply.utterance
  if reply.why ~= "turn" or reply.bound or u.long or u.keyed or u.taken_back >= self.o.take_backs then return false end
  return not reply.began or self.utterance.began <= reply.began + self.o.go_on_ms
end

local function take_back(self, reply)
  local u, more = reply.utterance, self.utterance
  act(self, "take_back", { turn = u.id, reply = reply.id })
  -- He paused for longer than we waited: now we know.
  self.pauses:add(more.began - u.ended)
  u:join(more)
  u.taken_back, u.ended = u.taken_back + 1, nil
  to_caller(self)
  self.utterance = u
  stay(self)
end

local function drop(self, reply)
  act(self, "drop", { reply = reply.id })
  to_caller(self)
  stay(self)
end

--- What goes on without a word is no speech: it counts again when there was quiet, or words come.
function floor.take_for_noise(self)
  floor.forget(self)
  if self.utterance then self.utterance.noise = true end
end

--- What we say falls silent while he makes a sound; what that was is decided meanwhile.
function floor.hush(self)
  local reply = self.reply
  reply.hushed = self.now
  act(self, "hush", { reply = reply.id, fade_ms = self.o.fade_ms, began = self.utterance.run_began })
end

--- Nothing more of the reply is played.
function floor.stop(self, sure, why)
  local reply, u = self.reply, self.utterance
  if reply.pieces:empty() then return end
  act(self, "stop", { reply = reply.id, sure = sure, why = why, fade_ms = self.o.fade_ms, began = why ~= "key" and u and u.run_began or nil })
  reply.pieces:clear()
  reply.ducked = nil
end

--- What is being played is stopped, and kept until it is known what the caller wants.
--- @param heard boolean|nil  some of it was
function floor.hold(self, reply, heard)
  floor.stop(self, false, "voice")
  to_caller(self)
  if not heard then reply.began = nil end
  self.held = { reply = reply, at = reply.hushed or self.now, unheard = not heard }
end

-- He had something to say: what sounded like it before may be taken for it again.
local function believe(self)
  self.false_alarms, self.idle_hushes = math.max(0, self.false_alarms - 1), math.max(0, self.idle_hushes - 1)
end

--- The caller takes the floor. When that is not sure, what was being played is held until it is.
--- @param why string  "words", "voice" or "key"
function floor.interrupt(self, sure, why)
  local reply = self.reply
  if why ~= "key" and (sure or reply.pieces:empty()) and floor.may_take_back(self, reply) then
    floor.stop(self, true, why)
    believe(self)
    return take_back(self, reply)
  end
  if not sure then return floor.hold(self, reply, true) end
  floor.stop(self, true, why)
  believe(self)
  drop(self, reply)
end

--- What is held is not gone on with: he has said something.
function floor.let_go(self)
  local reply = self.held.reply
  self.held = nil
  believe(self)
  if self.utterance and floor.may_take_back(self, reply) then take_back(self, reply) else drop(self, reply) end
end

--- It was nothing: what is hushed is gone on with.
function floor.go_on(self)
  local reply = self.reply
  -- Who says "mm-hm" has said something, and may do so again.
  if reply.hushed and not (self.utterance and self.utterance:has_words()) then self.idle_hushes, self.idle_at = self.idle_hushes + 1, self.now end
  reply.pieces:clear()
  -- The engine tells again what it plays, and when it has no more pieces.
  reply.hushed, reply.ended, reply.waiting_since, reply.silent_since = nil, nil, self.now, self.now
  act(self, "resume", { reply = reply.id })
end

--- The same of what is held.
function floor.resume(self)
  self.reply, self.floor, self.held = self.held.reply, "reply", nil
  self.false_alarms = self.false_alarms + 1
  floor.go_on(self)
end

--- All of the reply has been heard.
function floor.finish(self)
  if self.reply.ducked then act(self, "unduck", { reply = self.reply.id }) end
  to_caller(self)
end

--- The model is lost.
function floor.lost(self)
  local reply = self.reply
  if reply.why ~= "turn" or self.over then
    reply.ended = true
    return
  end
  drop(self, reply)
  floor.prompt(self, "no_reply")
end

return floor
