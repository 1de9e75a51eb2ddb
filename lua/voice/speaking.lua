-- SPDX-License-Identifier: Apache-2.0
--- We have the floor: what of ours is played, and what is done when the caller makes a sound meanwhile.
---
---   voice ── hush_ms ──> hush ──┬─ words that want the floor, a key ──────────────> stop, and the reply is dropped (or its turn taken back)
---                               ├─ stop_ms of voice, and no text ──> stop, held ──┬─ words ──> the same
---                               │                                                 └─ none in resume_ms, "mm-hm", or noise without end ──> resume
---                               └─ quiet, or "mm-hm" and quiet ──> resume
---
--- Who begins to speak wants to hear nothing more, and words take twice as long to be recognised as he takes to notice that we talk on. So we
--- fall silent before it is known whether he has something to say, and lose nothing when he has not: we go on with the word that he broke off.
--- Where sounds come to nothing again and again, as on a line with a loud echo, what we say is ducked instead, and words stop it.
---
--- A part of voice.turns: each function takes its machine.
local floor = require "voice.floor"

local speaking = { clocks = {} }

local FALSE_ALARMS = 3  -- a noisy line: each lets voice without words take longer, up to that many times

local function clock(when, run) speaking.clocks[#speaking.clocks + 1] = { when = when, run = run } end

--- The reply of that number, if it is what we say or hold.
function speaking.find(self, id)
  if self.reply and self.reply.id == id then return self.reply end
  return self.held and self.held.reply.id == id and self.held.reply or nil
end

--- The engine wants to say something that answers nobody.
function speaking.say(self)
  if self.held then floor.let_go(self) end
  local reply = self.reply or floor.open_reply(self, "say")
  reply.ended = nil
  floor.act(self, "speak", { reply = reply.id })
end

function speaking.play(self, e)
  local reply = self.reply
  if not reply or reply.id ~= e.reply or reply.hushed then
    -- It was on its way when the reply was stopped.
    local held = speaking.find(self, e.reply) ~= nil
    return floor.act(self, "stop", { reply = e.reply, sure = not held, why = held and "held" or "stale", fade_ms = self.o.fade_ms })
  end
  reply.pieces:add(e, self.now)
  if not e.filler and not reply.began then
    reply.began = self.now
    if reply.why == "turn" then self.unanswered = 0 end
    -- He is speaking again, and the answer to what he had said so far is not to be heard in the midst of it.
    local u = self.utterance
    if u and u.on_since and not u.noise and not e.guard and not self.leave and floor.may_take_back(self, reply) then
      floor.hold(self, reply)
    end
  end
end

-- What was said over a passage that may not be interrupted does not interrupt what follows it, unless it goes on; but as the last thing
-- before the caller's turn it may be his answer.
local function renew(self, is_end)
  local u = self.utterance
  if u and not (is_end and u.began >= self.now - self.o.aside_ms) then floor.forget(self) end
end

--- A piece, and with it those before it, has been heard to its end.
function speaking.played(self, id)
  local reply = self.reply
  if not reply or reply.hushed then return end
  local guard = reply.pieces:guard()
  local piece = reply.pieces:played(id, self.now)
  if not piece then return end
  if guard and not reply.pieces:guard() then renew(self, reply.pieces:empty() and reply.ended) end
  self.heard_at = self.now
  if not reply.pieces:empty() then return end
  reply.waiting_since = self.now
  if not piece.filler then reply.silent_since = self.now end
end

function speaking.replied(self, id)
  local reply = speaking.find(self, id)
  if reply then reply.ended = true end
end

-- -- the caller's voice over ours ---------------------------------------------------------------------------------------------

-- Who is about to be left is held up by an objection only: thanks are no more than "mm-hm". Where he goes on with the turn that asked for it, that is answered anew.
local function is_promised(self, reply) return self.leave and not self.leave.firm and not floor.may_take_back(self, reply) end

-- When what the caller does takes the floor, and whether that is sure; nil: not by itself.
local function takes_at(self)
  local reply, u, o = self.reply, self.utterance, self.o
  if self.floor ~= "reply" or self.over or not u or reply.pieces:guard() then return nil end
  if is_promised(self, reply) then return floor.objects(self, u) and self.now or nil, true end
  local want, count, soft = u:wants(self.expect, self.language)
  -- "Yes" in the midst of a question is a back-channel, at its end an answer.
  if want == "answer" and soft and not (reply.ended and reply.pieces:is_last()) then want = "backchannel" end
  if want == "urgent" or want == "answer" then return self.now, true end
  if want == "words" then
    local settled = count > 1 or u.final or not u.on_since
    return settled and self.now or u.on_since + o.word_ms, true
  end
  if not u.on_since or u.noise then return nil end
  -- Before anything is played there is nothing to hold: only a turn that may still be gone on with is given back to who merely makes a sound.
  if reply.pieces:empty() and not floor.may_take_back(self, reply) then return nil end
  if want == "backchannel" then return u.on_since + o.backchannel_most_ms + o.hang_ms, false end
  -- Who is about to be put through or wished a good day is held up by words only.
  if self.leave then return nil end
  return u.on_since + o.stop_ms * (1 + math.min(FALSE_ALARMS, self.false_alarms)) + o.hang_ms, false
end

clock(function(self) return (takes_at(self)) end, function(self)
  local _, sure = takes_at(self)
  floor.interrupt(self, sure, sure and "words" or "voice")
end)

clock(function(self)
  local reply = self.reply
  if not reply or self.over or #self.keys == 0 or reply.pieces:empty() or reply.pieces:guard() == "all" then return nil end
  return self.now
end, function(self) floor.interrupt(self, true, "key") end)

-- Who is about to be put through is to hear what comes before it.
local function may_hush(self)
  return not self.leave and (self.idle_hushes < self.o.hushes or self.now >= self.idle_at + self.o.calm_ms)
end

-- The end of the last word is no more silenced: who speaks into it answers, and would have to wait until it was said again.
local function is_at_its_end(self)
  local left = self.reply.ended and self.reply.pieces:left_ms(self.now)
  return left and left <= self.o.last_ms
end

clock(function(self)
  local reply, u, o = self.reply, self.utterance, self.o
  if not reply or self.over or reply.ducked or reply.hushed or not u or not u.on_since or u.noise or reply.pieces:empty() or reply.pieces:guard() then return nil end
  if is_at_its_end(self) then return nil end
  return u.on_since + (may_hush(self) and o.hush_ms or o.duck_ms)
end, function(self)
  if may_hush(self) then return floor.hush(self) end
  self.reply.ducked = true
  floor.act(self, "duck", { reply = self.reply.id, db = self.o.duck_db })
end)

-- It was a sound and no more; while he makes it, takes_at() has the word.
clock(function(self)
  local reply, u = self.reply, self.utterance
  if not reply or not reply.hushed then return nil end
  if not u or self.leave then return self.now end
  if not u.quiet_since or takes_at(self) then return nil end
  -- What all he said was is known: no word that wants the floor.
  return u.final and u:has_words() and self.now or u.quiet_since + self.o.hushed_ms
end, floor.go_on)

clock(function(self)
  local reply, u = self.reply, self.utterance
  if not reply or not reply.ducked then return nil end
  if not u or reply.pieces:guard() then return self.now end
  return u.quiet_since and u.quiet_since + self.o.restore_ms or nil
end, function(self)
  self.reply.ducked, self.idle_at = nil, self.now
  floor.act(self, "unduck", { reply = self.reply.id })
end)

local function set_aside(self)
  local u = self.utterance
  if u:has_words() then floor.act(self, "aside", { text = u:text() }) end
  floor.forget(self)
end

-- It has not interrupted, and ours is not so near its end that it could be the answer.
clock(function(self)
  local u = self.utterance
  if self.floor ~= "reply" or not u or not u.quiet_since then return nil end
  return math.max(u.quiet_since, u.text_at or 0) + self.o.aside_ms
end, set_aside)

-- -- what is held -------------------------------------------------------------------------------------------------------------

clock(function(self)
  local u = self.utterance
  if not self.held or not u then return nil end
  if is_promised(self, self.held.reply) then return floor.objects(self, u) and self.now or nil end
  local want = u:wants(self.expect, self.language)
  return want ~= "none" and want ~= "backchannel" and self.now or nil
end, floor.let_go)

clock(function(self)
  local u, o = self.utterance, self.o
  if not self.held then return nil end
  if not u then return self.held.at + o.resume_ms end
  if not u.quiet_since then return not u:has_words() and math.max(self.held.at, u.on_since) + o.noise_ms or nil end
  -- When all he has said is known, nothing more is waited for; nor where nothing of ours was heard, and silence is what he hears.
  local known = self.held.unheard or (u.final and u:wants(self.expect, self.language) == "backchannel")
  return math.max(known and 0 or self.held.at + o.resume_ms, u.quiet_since + o.resume_quiet_ms)
end, function(self)
  local noise = self.utterance and self.utterance.on_since
  if noise then floor.take_for_noise(self) elseif self.utterance then set_aside(self) end
  floor.resume(self)
end)

-- -- what is late, and the end ------------------------------------------------------------------------------------------------

clock(function(self)
  local reply, u, o = self.reply, self.utterance, self.o
  if not reply or reply.why ~= "turn" or reply.ended or not reply.pieces:empty() or reply.fillers >= o.fillers or (u and u.on_since) then return nil end
  return reply.waiting_since + (reply.fillers == 0 and o.filler_ms or o.filler_more_ms)
end, function(self)
  local reply = self.reply
  reply.fillers = reply.fillers + 1
  -- Whether one is played is the engine's choice; the next is not asked for sooner.
  reply.waiting_since = self.now
  floor.act(self, "filler", { reply = reply.id, n = reply.fillers })
end)

clock(function(self)
  local reply = self.reply
  if not reply or reply.ended or not reply.pieces:empty() then return nil end
  return reply.silent_since + self.o.reply_most_ms
end, floor.lost)

clock(function(self)
  local reply = self.reply
  return reply and not reply.hushed and reply.pieces:overdue_at() or nil
end, function(self) speaking.played(self, self.reply.pieces:head().id) end)

clock(function(self)
  local reply = self.reply
  return reply and reply.ended and reply.pieces:empty() and self.now or nil
end, floor.finish)

-- Until when the caller is not left because of what he has begun to say. Words that want something else become his turn.
local function words_due(self)
  local u, o = self.utterance, self.o
  if not u or u.noise or self.leave.firm then return -math.huge end
  if floor.objects(self, u) then return math.huge end
  if u.on_since then return math.max(u.on_since, u.text_at or 0) + o.noise_ms end
  return u.final and u:has_words() and -math.huge or (u.quiet_since or u.began) + o.object_ms
end

clock(function(self)
  local leave, o = self.leave, self.o
  if not leave then return nil end
  local latest = leave.at + o.leave_most_ms
  if self.floor ~= "caller" or self.held then return latest end
  return math.min(latest, math.max(leave.at, (self.heard_at or -math.huge) + o.tail_ms, words_due(self)))
end, function(self)
  if self.utterance then set_aside(self) end
  floor.act(self, "go", { how = self.leave.how })
  self.leave, self.over = nil, true
end)

return speaking
