-- SPDX-License-Identifier: Apache-2.0
--- A stream of sound in, text out, from the first of a tenant's recognisers that understands.
---
---   local session = recogniser.open(world, { rate = 8000, language = "en", phrases = {...}, expect = {...} }, targets)
---   session:feed(pcm)      16 bit little-endian mono; never waits
---   session:flush()        the utterance is over, says our own turn-taking: its final text is wanted now
---   session:finish()       no more sound; the last final comes, then "end"
---   session:cancel()       next() returns nil
---   session:next()         the next event, see speech.adapters; waits; one task at a time. Each flush() has its utterance_end; what a recogniser tells of by
---                          itself has unasked = true
---
--- Some listen while one speaks (transport ws), others are given an utterance whole when flush() ends it; who calls need not know. One that
--- fails is followed by the next, which hears all that had no final text yet: within the same call, and no word is lost. Times are in ms
--- since the first sound that was fed, whoever tells them.
---
--- expect, what the prompt has asked for: { kind = "digits" | "yesno" | "phrases" | "open", phrases = list, most = number of digits,
--- sentences = list of what may be said besides, for one that finds nothing but what it is told: as a hint they would be too many }
local adapters = require "speech.adapters"
local batch = require "speech.batch"
local fallback = require "speech.fallback"
local held = require "speech.held"
local live = require "speech.live"
local log = require "core.log"
local promise = require "lib.promise"
local task = require "core.task"

local recogniser = {}

-- After flush(), of one that has listened all the time. Who waits longer in a conversation is asked to say it again (calls.talk), and by then the next
-- must have heard it.
local ANSWER_MS = 2000
local EVENTS_MOST = 1000        -- that nobody takes: partial ones are dropped then

local Session = {}
Session.__index = Session

local transports = { ws = live, http = batch, process = batch }

--- Tells an event. For the transports.
function Session:tell(event)
  if self.cancelled then return end
  if #self.events >= EVENTS_MOST and event.type == "partial" then return end
  self.events[#self.events + 1] = event
  if self.waiting then self.waiting:give() end
end

--- Waits until something was fed, flushed, finished or cancelled since. For the transports.
function Session:wait_change()
  self.changed = promise.new()
  self.changed:wait()
end

local function change(self)
  local changed = self.changed
  self.changed = nil
  if changed then changed:give() end
end

--- An utterance has its final text: how long that took since it was over, by who gave it.
function Session:took_final(try)
  local utterance = self.held:first_closed()
  if utterance then fallback.took(try, "final", self.world.mono_ms() - math.max(utterance.flushed_ms, try.began_ms)) end
end

local function guarded(transport, self, try)
  local ok, failure = pcall(transport.run, self, try)
  if ok then return failure end
  log.error("speech.adapter_broke", { provider = try.target.provider, kind = try.target.kind, text = tostring(failure) })
  return { class = "protocol", text = "the answer could not be read" }
end

local function run(self)
  while not self.cancelled do
    local try = fallback.next(self.way)
    if not try then return self:tell(fallback.last(self.way, "recogniser")) end
    self.target = try.target
    local failure = guarded(transports[try.adapter.transport], self, try)
    if self.cancelled then failure = { class = "cancelled", text = "cancelled", cut = true } end
    fallback.ended(try, failure)
    if not failure then return self:tell{ type = "end" } end
  end
end

--- Takes in sound.
function Session:feed(pcm)
  if self.over or self.finishing or pcm == "" then return end
  self.held:add(pcm)
  if self.on_pcm then self.on_pcm(pcm) end
end

function Session:flush()
  if self.over or self.finishing then return end
  local utterance = self.held:close()
  utterance.flushed_ms = self.world.mono_ms()
  if self.on_pcm then self.on_pcm(nil, utterance) end
  change(self)
end

function Session:finish()
  if self.over or self.finishing then return end
  self:flush()
  self.finishing = true
  if self.on_finish then self.on_finish() end
  change(self)
end

function Session:cancel()
  if self.cancelled then return end
  self.cancelled, self.over, self.events = true, true, {}
  if self.on_cancel then self.on_cancel() end
  change(self)
  if self.waiting then self.waiting:give() end
end

function Session:next()
  while true do
    local event = table.remove(self.events, 1)
    if event then return event end
    if self.over then return nil end
    self.waiting = promise.new()
    self.waiting:wait()
    self.waiting = nil
  end
end

--- Opens a session. Returns at once; a provider is connected meanwhile.
--- @param world table    of ai.world, with open_ws = core.ws.open, every = core.timer.every and run = core.process.run
--- @param options table  { rate, language, phrases = words that are likely, expect, answer_ms, whole_ms = the longest waits for one that
---   listens all the time, and for one that is given an utterance whole, endpointing_ms = silence after which a provider ends
---   an utterance by itself, account = of speech.account }
function recogniser.open(world, options, targets)
  local asked = { rate = options.rate or 8000, language = options.language or "en", phrases = options.phrases or {}, expect = options.expect or { kind = "open" },
    endpointing_ms = options.endpointing_ms or 300, answer_ms = options.answer_ms or ANSWER_MS, whole_ms = options.whole_ms }
  local self = setmetatable({ world = world, options = asked, events = {}, held = held.new(asked.rate), way = fallback.new(world, targets, adapters.recogniser,
    function(adapter, target) return not adapter.serves or adapter.serves(asked, target) end, options.account) }, Session)
  task.spawn(function()
    run(self)
    self.over = true
    if self.waiting then self.waiting:give() end
  end)
  return self
end

return recogniser
