-- SPDX-License-Identifier: Apache-2.0
--- Who speaks: the machine of a call's turns. It is told what happens and says what is to be done; it has no clock, no I/O and no text of
--- its own. Every take() and every wake-up at due() gives a list of actions, in the order in which they are to be done.
---
---   the caller has the floor (listening.lua)                     we have it (speaking.lua)
---   speech, text, keys ── silence enough for this text ──commit──> the model thinks ── play ──> we speak ── all played ──┐
---        ▲  ▲                                                        │ he goes on             │ he speaks: hush, stop    │
---        │  └──────────────────────take_back─────────────────────────┘                        │                         │
---        ├─────────────stop, drop (or resume, when it was no word)────────────────────────────┘                         │
---        └──────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
---
--- Told: event.kind, and what goes with it. Times are in ms.
---   speech { ms }           the VAD noticed voice, that began so long ago
---   quiet { ms }            there is no voice since so long; may be repeated
---   partial { text }        the recogniser's text of the segment that is not settled; replaces the one before
---   final { text }          that segment's settled text
---   opinion { probability } how likely a model of turns finds it that he has ended; holds until there is more voice or text
---   key { digit }
---   expect { expect }       what the question expects: { kind = "open" | "yes_no" | "digits" | "spelling", count, finish, between_ms, silence_ms };
---                           also begins again after give_up or go
---   say                     the engine wants to speak by itself (a greeting, a result): the action speak says as which reply; then replied
---   play { reply, id, ms, guard, filler }   a piece was handed to the media thread; guard as in playing.lua. Answered by stop at
---     once when the reply is gone, and for an answer's first piece when he is speaking again: it is held, and resume or drop comes.
---     All that is not played to its end is told anew after resume
---   whole { id, ms }        all of a piece is there, and so much of it is still to be heard; for pieces whose play told no length
---   position { id, ms }, played { id }
---   replied { reply }       all pieces of that reply have been handed over; after a resume and a say, to be told again
---   bound { reply }         it has done something that cannot be undone: it is not taken back any more
---   leave { how, firm, handed }   transfer or hang up, when the caller has heard what is being said. What he has begun to say by then is waited for, and holds it up when
---     he objects; firm: it is not waited for; handed: a human takes over, who hears what else he has to say
---   tick                    nothing but that the time has come
--- Said: action.act, and what goes with it.
---   begin_model { turn, try, text }, cancel_model { turn, try }   eagerly: nothing with side effects, nothing spoken
---   commit { turn, reply, text, keys, by, began, ended, eager = try, waited }   the turn has ended, by = "quiet", "noise" (what is heard since its
---     text is no speech), "keys" or "long"; reply is who answers
---   amend { turn, text }    the recogniser changed its mind about a committed turn: for the history
---   take_back { turn, reply }   he goes on: as if the commit had not been; it comes again with all he says
---   hush { reply, fade_ms, began }   he makes a sound: play nothing more of that reply, at once, and keep its rest. Whether it was more than a sound
---     is decided while it is silent: stop or resume comes
---   duck { reply, db }, unduck { reply }   instead of hush, where sounds have come to nothing again and again
---   stop { reply, sure, why, fade_ms, began }   play nothing more of that reply, at once; it also ends a duck. When sure, drop or take_back follows
---     in the same list; when not, its rest is kept until resume, drop or take_back
---   drop { reply }          cancel its streams, keep of it in the history what was heard
---   resume { reply }        false alarm: play the rest, from the beginning of the word in which it was hushed or stopped
---   filler { reply, n }     nothing is heard for long: a short phrase
---   aside { text }          was said over ours, and did not interrupt
---   prompt { reply, why, n }    ask again: "silence", "unclear" (a sound without words), "no_reply" (the model is lost)
---   give_up { why }         asked often enough
---   speak { reply }, go { how }, stay { how }   answers to say and leave
local ending = require "voice.ending"
local listening = require "voice.listening"
local pauses = require "voice.pauses"
local speaking = require "voice.speaking"

local turns = {}
turns.__index = turns

local KEYS = 64          -- waiting; more are not for us
local CLOCKS_AT_ONCE = 64

--- The settings with their defaults; ending.defaults are settings too.
turns.defaults = {
  hang_ms = 200,         -- the VAD tells silence so late
  eager_ms = 200, eager_tries = 3, eager_most_ms = 10000, eager_noise_ms = 300,
  settle_ms = 150,       -- after a text that comes behind the silence, there may be more of it
  text_ms = 1500,        -- the recogniser's text may come so late
  unclear_ms = 800,      -- of voice without a word; less is a noise
  noise_ms = 3000,       -- of voice and no text: music, a motor, somebody else
  turn_most_ms = 60000,
  between_ms = 3000,     -- keys
  silence_ms = 7000, silence_more_ms = 8000, prompts = 2,
  hush_ms = 60,          -- of voice: as soon as it is told, a click is none
  last_ms = 300,         -- of ours: that is at its end before anything of it would be missed
  hushed_ms = 400,       -- of silence after a sound without words; a text that was its only one comes within it
  hushes = 3,            -- for nothing; then ours is ducked only, until
  calm_ms = 3000,        -- no sound came to nothing for so long
  duck_ms = 150, duck_db = 12,
  word_ms = 250,         -- of voice with one word that is not settled
  stop_ms = 600,         -- of voice without words: "mm-hm" has up to 550
  backchannel_most_ms = 1500,
  restore_ms = 300,      -- of silence after which a duck ends
  aside_ms = 1500,       -- how long what did not interrupt may still turn out to be the caller's answer
  go_on_ms = 1000,       -- of ours that he may have heard and still be going on with his own
  take_backs = 3,
  resume_ms = 2000, resume_quiet_ms = 600,
  fade_ms = 15,
  filler_ms = 800, filler_more_ms = 4000, fillers = 4,
  reply_most_ms = 20000,
  slack_ms = 3000, piece_most_ms = 60000,
  tail_ms = 250,         -- from the last packet until it is heard
  leave_most_ms = 20000,
  object_ms = 2000,      -- who is about to be left has made a sound: the text of it may come so late
  late_ms = 3000,        -- a text may still belong to the turn before
}
for name, value in pairs(ending.defaults) do turns.defaults[name] = value end

--- @param options table  any of the defaults; language
function turns.new(options, now)
  local o = {}
  for name, value in pairs(turns.defaults) do o[name] = options[name] or value end
  return setmetatable({
    o = o, language = options.language, expect = { kind = "open" }, now = now, floor = "caller", silence_from = now,
    turn = 0, replies = 0, keys = {}, pauses = pauses.new(), silences = 0, unclear = 0, unanswered = 0, false_alarms = 0, idle_hushes = 0, idle_at = now, actions = {},
  }, turns)
end

local KINDS = { open = true, yes_no = true, digits = true, spelling = true }
local event = {}

function event.speech(self, e) listening.voice(self, self.now - math.max(0, e.ms or 0)) end

function event.quiet(self, e)
  if self.utterance then self.utterance:quiet(self.now - math.max(0, e.ms or 0)) end
end

function event.partial(self, e) listening.text(self, e.text, false) end
function event.final(self, e) listening.text(self, e.text, true) end

function event.opinion(self, e)
  if self.utterance then self.utterance.opinion = e.probability end
end

function event.key(self, e)
  if self.over or #self.keys >= KEYS or not e.digit:find("^[%d*#A-D]$") then return end
  self.keys[#self.keys + 1], self.key_at = e.digit, self.now
end

function event.expect(self, e)
  assert(KINDS[e.expect.kind], "an expectation that is not known")
  if self.over then self.over, self.silences, self.unclear, self.unanswered = nil, 0, 0, 0 end
  self.expect = e.expect
  if self.floor == "caller" then self.silence_from = self.now end
end

function event.say(self) speaking.say(self) end
function event.play(self, e) speaking.play(self, e) end

function event.whole(self, e)
  if self.reply then self.reply.pieces:whole(e.id, e.ms, self.now) end
end

function event.position(self, e)
  if self.reply then self.reply.pieces:position(e.id, e.ms, self.now) end
end

function event.played(self, e) speaking.played(self, e.id) end
function event.replied(self, e) speaking.replied(self, e.reply) end

function event.bound(self, e)
  local of = speaking.find(self, e.reply)
  if of then of.bound = true end
end

function event.leave(self, e) self.leave = { how = e.how, firm = e.firm, handed = e.handed, at = self.now } end
function event.tick() end

-- All that happens by time: when = function(self) -> ms | nil, run = function(self).
local clocks = {}
for _, part in ipairs{ listening, speaking } do
  for _, clock in ipairs(part.clocks) do clocks[#clocks + 1] = clock end
end

local function earliest(self)
  local at, which
  for _, clock in ipairs(clocks) do
    local when = clock.when(self)
    if when and (not at or when < at) then at, which = when, clock end
  end
  return at, which
end

--- Tells what has happened, or only that it is now so late: the actions.
--- @param now number  not before the last one; an earlier time counts as the last one
function turns:take(e, now)
  self.now = math.max(self.now, now)
  local actions = {}
  self.actions = actions
  local tell = event[e.kind] or error("voice.turns knows no event " .. tostring(e.kind), 2)
  tell(self, e)
  for _ = 1, CLOCKS_AT_ONCE do
    local at, clock = earliest(self)
    if not at or at > self.now then break end
    clock.run(self)
  end
  self.actions = nil
  return actions
end

--- When take must be called at the latest, or nil when only events count.
function turns:due()
  return (earliest(self))
end

return turns
