-- SPDX-License-Identifier: Apache-2.0
--- The caller has the floor: what he says and keys, when his turn has ended, what is begun before that is sure, and what is done when nothing
--- comes. A part of voice.turns: each function takes its machine.
local ending = require "voice.ending"
local floor = require "voice.floor"
local keys = require "calls.keys"
local late_text = require "voice.late_text"

local listening = { clocks = {} }

local function clock(when, run) listening.clocks[#listening.clocks + 1] = { when = when, run = run } end

--- The caller's voice, since then.
function listening.voice(self, since)
  local u = floor.utterance(self, since)
  if u.on_since then return end
  if u.quiet_since then
    since = math.max(since, u.quiet_since)
    if self.floor == "caller" and u:has_words() then self.pauses:add(since - u.quiet_since) end
  end
  u:voice(since)
end

--- The recogniser's text.
function listening.text(self, text, final)
  local rest, amended, stripped = late_text.of(self, text, final)
  if amended then floor.act(self, "amend", { turn = self.last.utterance.id, text = amended }) end
  if not rest or (not rest:find("%S") and not self.utterance) then return end
  local u = floor.utterance(self, self.now)
  u.stripped = stripped
  if final then u:add_final(rest, self.now) else u:set_partial(rest, self.now) end
end

-- -- what happens by time ---------------------------------------------------------------------------------------------------

local function listens(self) return self.floor == "caller" and not self.held and not self.over end

local function ending_of(self, u) return u:ending(self.expect, self.language) end

-- Are there words that want an answer? Who is about to be left and says "thank you" wants none.
local function has_words(self, u)
  return u:has_words() and (not self.leave or self.leave.firm or floor.objects(self, u))
end

local function is_quiet_with_words(self, u) return u ~= nil and u.quiet_since ~= nil and has_words(self, u) end

-- What was begun on a text is no use for another, nor while he goes on; a click in the pause is no going on.
clock(function(self)
  local u = self.utterance
  if not u or not u.eager then return nil end
  if u.eager.folded ~= u:folded() then return self.now end
  return u.on_since and u.on_since + self.o.eager_noise_ms + self.o.hang_ms or nil
end, function(self) floor.cancel_eager(self, self.utterance) end)

clock(function(self)
  local u, o = self.utterance, self.o
  if not listens(self) or not is_quiet_with_words(self, u) or u.eager or u.tries >= o.eager_tries or #self.keys > 0 then return nil end
  if u.quiet_since - u.began > o.eager_most_ms or not ending.is_likely(ending_of(self, u), u.opinion) then return nil end
  return math.max(u.quiet_since + o.eager_ms, u.text_at)
end, function(self)
  local u = self.utterance
  u.tries = u.tries + 1
  u.eager = { try = u.tries, folded = u:folded() }
  floor.act(self, "begin_model", { turn = u.id, try = u.tries, text = u:text() })
end)

-- The end of a turn.
clock(function(self)
  local u = self.utterance
  if not listens(self) or not is_quiet_with_words(self, u) or #self.keys > 0 then return nil end
  local wait = ending.wait_ms(self.o, ending_of(self, u), self.expect, u.final, self.pauses:usual_ms(), u.opinion)
  return math.max(u.quiet_since + wait, u.text_at + (u.final and 0 or self.o.settle_ms))
end, function(self) floor.commit(self, "quiet") end)

-- He has said something, and what is heard since then has no words: music, somebody else. The recogniser is not waited for for ever.
clock(function(self)
  local u = self.utterance
  if not listens(self) or not u or not u.on_since or not u.final or not has_words(self, u) or #self.keys > 0 then return nil end
  return math.max(u.on_since, u.text_at) + self.o.noise_ms
end, function(self)
  floor.commit(self, "noise")
  if self.utterance then self.utterance.noise = true end
end)

-- A sound without words. Who is about to be left is not asked what it was.
clock(function(self)
  local u, o = self.utterance, self.o
  if not listens(self) or self.leave or not u or not u.quiet_since or u:has_words() then return nil end
  return u.quiet_since + o.wordless_ms + o.text_ms
end, function(self)
  if self.utterance.voiced >= self.o.unclear_ms and not self.utterance.noise then return floor.prompt(self, "unclear") end
  self.utterance = nil  -- a noise; it does not postpone the question whether he is still there
end)

-- Too long, in time or text.
clock(function(self)
  local u = self.utterance
  if self.floor ~= "caller" or self.over or not u then return nil end
  return u:is_full() and self.now or u.began + self.o.turn_most_ms
end, function(self)
  if self.held then floor.let_go(self) end
  if self.utterance:has_words() then return floor.commit(self, "long") end
  floor.prompt(self, "unclear")
end)

local function read_keys(self)
  local e = self.expect
  if e.kind ~= "digits" then return keys.read(self.keys, 1, "") end
  return keys.read(self.keys, e.count, e.finish or "#")
end

clock(function(self)
  if self.floor ~= "caller" or self.over or #self.keys == 0 then return nil end
  local _, _, complete = read_keys(self)
  return complete and self.now or self.key_at + (self.expect.between_ms or self.o.between_ms)
end, function(self)
  if self.held then floor.let_go(self) end
  local used, text = read_keys(self)
  for _ = 1, used do table.remove(self.keys, 1) end
  floor.commit(self, "keys", text)
end)

-- Nobody speaks.
clock(function(self)
  if not listens(self) or self.utterance or #self.keys > 0 or self.leave then return nil end
  local o = self.o
  return self.silence_from + (self.silences > 0 and o.silence_more_ms or self.expect.silence_ms or o.silence_ms)
end, function(self) floor.prompt(self, "silence") end)

return listening
