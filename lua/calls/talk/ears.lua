-- SPDX-License-Identifier: Apache-2.0
--- Hears the caller: the leg's sound to a recogniser, the VAD's word and the recogniser's text to the machine of turns.
---
---   leg:listen ──> pcm ──┬─ a recogniser that listens all the time: everything
---                        └─ one that is given an utterance whole: from a little before the voice until it is silent, then flush
---
--- What a local recogniser can understand is what is expected, so it is opened anew when something else is; one that listens all the time
--- stays open, for that would cost a connection.
---
--- ears.new{ leg, open = function(options) -> session of speech.recogniser, is_live = function(session) -> boolean, tell, language,
---   now, failed = function(err): what was said is not understood, deaf = function(err): no recogniser can be had for some seconds, or until something else
---   is expected; keys still count, text_came = function(ms): a final text came, noticed = function(kind, fields): whether a text will come of what he said, as
---   calls.cards is told }
local task = require "core.task"

local ears = {}
ears.__index = ears

local RATE, BATCH_MS, KEEP_MS = 8000, 100, 2000
local BEFORE_MS = 500       -- of sound in front of what the VAD noticed: it notices late
local SILENCE_MS = 600       -- that ends an utterance for a recogniser which is given it whole: half a sentence would be taken for another
local CLOSED_MS = 200       -- the same where one word is expected, or digits
local FAILURES = 3          -- in a row; then nobody listens for a while
local DEAF_MS = 5000
local NOTICED_MS = 60       -- the VAD tells of a voice so late
local PACKET_MS = 20
local OPEN = { open = true, phrases = true, spelling = true }

function ears.new(world)
  return setmetatable({ world = world, before = {}, before_ms = 0, failures = 0, pending = {}, asked = 0, expect = { kind = "open" }, phrases = {} }, ears)
end

-- Nothing more will be heard of what was given to the recogniser.
local function lose(self)
  if self.feeding or self.pending[1] then self.world.noticed("unheard") end
  self.pending = {}
end

local function close_session(self)
  local session = self.session
  self.session = nil
  if session then session:cancel() end
end

local read

local function renew(self)
  self.stale = nil
  close_session(self)
end

local function session_of(self)
  if self.session or self.closed or self.deaf_until then return self.session end
  self.session = self.world.open{ rate = RATE, language = self.world.language, expect = self.expect, phrases = self.phrases }
  task.spawn(read, self, self.session)
  return self.session
end

local function fail(self, err)
  self.failures = self.failures + 1
  self.world.failed(err)
  if self.failures < FAILURES and err.class ~= "no_provider" then return end
  self.deaf_until = self.world.now() + DEAF_MS
  self.world.deaf(err)
end

function read(self, session)
  while true do
    local event = session:next()
    if self.session ~= session then return end
    if event == nil or event.type == "end" or event.type == "error" then
      self.session, self.stale = nil, nil  -- the next voice opens another
      lose(self)
      if event and event.type == "error" then fail(self, event) end
      return
    elseif event.type == "partial" then
      self.world.tell("partial", { text = event.text })
    elseif event.type == "final" then
      self.failures = 0
      self.world.text_came()
      if event.text ~= "" then self.world.tell("final", { text = event.text }) end
    elseif event.type == "utterance_end" then
      local key = not event.unasked and table.remove(self.pending, 1)
      if key then self.world.noticed("answered", { key = key }) end
      -- What is expected by now was not while he spoke.
      if self.stale and not self.feeding and not self.pending[1] then renew(self) end
    end
  end
end

--- What the next words will most likely be.
--- @param expect table   { kind = "digits" | "yesno" | "phrases" | "open", phrases, most } of speech.recogniser
--- @param phrases table  likely besides
function ears:await(expect, phrases)
  if expect == self.expect and phrases == self.phrases then return end
  self.expect, self.phrases = expect, phrases
  if self.deaf_until then self.deaf_until = 0 end  -- who can hear this may be another
  if not self.session or self.world.is_live(self.session) then return end
  -- An utterance that is being heard or thought about is let be.
  if self.feeding or self.pending[1] then self.stale = true else close_session(self) end
end

local function feed(self, pcm)
  local session = session_of(self)
  if session then session:feed(pcm) end
end

local function keep_before(self, pcm)
  self.before[#self.before + 1] = pcm
  self.before_ms = self.before_ms + #pcm / 2 / RATE * 1000
  while self.before_ms - #self.before[1] / 2 / RATE * 1000 >= BEFORE_MS do
    self.before_ms = self.before_ms - #table.remove(self.before, 1) / 2 / RATE * 1000
  end
end

-- In front of all that comes after it: one who listens all the time may have followed one to whom it was not given.
local function feed_before(self)
  local before = self.before
  self.before, self.before_ms = {}, 0
  for _, pcm in ipairs(before) do feed(self, pcm) end
end

local function on_audio(self, pcm)
  if self.closed then return end
  local is_live = self.session and self.world.is_live(self.session)
  if not is_live and not self.feeding then return keep_before(self, pcm) end
  feed_before(self)
  feed(self, pcm)
end

--- Begins to listen: true, or nil, err.
function ears:open()
  local listener, err = self.world.leg:listen{ rate = RATE, batch_ms = BATCH_MS, keep_ms = KEEP_MS, on_audio = function(pcm) on_audio(self, pcm) end }
  if not listener then return nil, err end
  self.listener = listener
  session_of(self)  -- a connection is made while he is greeted
  return true
end

--- What the caller said while somebody else listened: it is heard with his voice, which is to be told of next.
function ears:missed(sound) self.before = sound end

local function begin(self)
  if self.feeding then return end
  self.feeding = true
  -- Here, for half an utterance would be taken for another.
  if self.deaf_until and self.world.now() >= self.deaf_until then self.deaf_until = nil end
  feed_before(self)
end

local function over(self)
  if not self.feeding then return end
  if not self.session then lose(self) end
  self.feeding = false
  if not self.session then return end
  self.asked = self.asked + 1
  table.insert(self.pending, self.asked)
  self.world.noticed("asked", { key = self.asked })
  self.session:flush()
end

-- The VAD hears what was received so long ago: a caller's silence began when his packets had no more sound, not when we got to them.
local function buffered_ms(self)
  local stats = self.world.leg:stats()
  return stats and math.max(0, stats.delay_ms - PACKET_MS) or 0
end

--- @param kind string      "speech" or "quiet" of the VAD
--- @param position number  since how many ms
function ears:on_media(kind, position)
  if self.closed then return end
  if kind == "speech" then
    begin(self)
    return self.world.tell("speech", { ms = position + NOTICED_MS + buffered_ms(self) })
  end
  if position >= (OPEN[self.expect.kind] and SILENCE_MS or CLOSED_MS) then over(self) end
  self.world.tell("quiet", { ms = position + buffered_ms(self) })
end

--- Hears nothing more.
function ears:close()
  if self.closed then return end
  self.closed = true
  close_session(self)
  lose(self)
  if self.listener then self.listener:close() end
  self.listener, self.before = nil, {}
end

return ears
