-- SPDX-License-Identifier: Apache-2.0
--- Text in, a stream of sound out, from the first of a tenant's synthesisers that speaks.
---
---   local stream = synthesiser.say(world, { text =, voice =, language =, rate = 8000, speed = 1 }, targets)
---   repeat local event = stream:next() until event == nil     audio, mark, then "end" or "error", as speech.adapters says; waits
---   stream:cancel()                                            at any time: next() returns nil
---
--- It is pulled: while nobody calls next() nothing more is read from the provider than the host's HTTP client holds. One that fails before
--- its first sound is followed by the next; after it the failure is told, with how much was given, for no listener is to hear half a
--- sentence twice without whoever speaks having decided so. Marks come before or with the sound they are of.
local adapters = require "speech.adapters"
local fallback = require "speech.fallback"
local log = require "core.log"

local synthesiser = {}

local FIRST_MS, IDLE_MS, LONGEST_MS, CONNECT_MS = 2500, 2500, 120000, 2000
local PER_CHARACTER_MS = 20     -- so much longer is waited for the first sound of one that sends it when all of it is there
local RUN_MS = 4000             -- of a program: nobody comes after it
local MOST_SECONDS = 600        -- of sound for one text: who sends more never ends
local ERROR_BYTES = 64 * 1024
local MOST_TEXT = 20000         -- bytes

local Stream = {}
Stream.__index = Stream

local function seconds_of(event) return #event.pcm / 2 / event.rate end

local function characters_of(text)
  local _, inner = text:gsub("[\128-\191]", "")
  return #text - inner
end

-- -- the two ways to get sound -------------------------------------------------------------------------------------------------

local http, process = {}, {}

local function short_body(stream)
  local parts, bytes = {}, 0
  while bytes < ERROR_BYTES do
    local name, data = stream:next()
    if name == nil then break end
    parts[#parts + 1], bytes = data, bytes + #data
  end
  return table.concat(parts):sub(1, ERROR_BYTES)
end

local function first_ms(self, try)
  if self.options.first_ms then return self.options.first_ms end
  if try.transport ~= http then return RUN_MS end
  return FIRST_MS + (try.adapter.whole and characters_of(try.asked.text) * PER_CHARACTER_MS or 0)
end

-- Asks: true, or nil, failure.
function http.open(self, try)
  local asked = try.adapter.request(try.asked, try.target)
  local stream, err = self.world.stream{
    url = asked.url, method = asked.method, headers = asked.headers, body = asked.body, framing = asked.framing, ca_file = try.target.ca_file,
    connect_ms = CONNECT_MS, first_byte_ms = try.limit_ms, idle_ms = self.options.idle_ms, timeout_ms = LONGEST_MS,
    on_begin = function(opened)
      try.stream = opened
      if self.cancelled then opened:cancel() end
    end,
  }
  if not stream then
    try.unsent = err ~= nil and err.stage == "connect"
    return nil, fallback.of_error(err)
  end
  if stream.status < 200 or stream.status > 299 then return nil, try.adapter.failure(stream.status, stream.headers, short_body(stream)) end
  try.reader = try.adapter.reader(try.asked, try.target, stream.headers)
  return true
end

function http.events(_, try)
  local name, data = try.stream:next()
  if name == nil then
    if data then return nil, fallback.of_error(data) end
    return try.reader:finish()
  end
  return try.reader:feed(name or nil, data)
end

function http.cancel(try)
  if try.stream then try.stream:cancel() end
end

function process.open(_, try)
  try.parts, try.part, try.at_ms = try.adapter.parts(try.asked), 0, 0
  return true
end

function process.events(self, try)
  try.part = try.part + 1
  local part = try.parts[try.part]
  if not part then return { { type = "end" } } end
  local command = try.adapter.command(part, try.asked, try.target)
  local done, err = self.world.run{ argv = command.argv, input = command.input, timeout_s = try.limit_ms / 1000, output_limit = 32 * 1024 * 1024,
    unless = function() return self.cancelled or self.late end }
  if not done then return nil, fallback.of_error(err) end
  local events, ms = try.adapter.heard(done, part, try.at_ms)
  try.at_ms = try.at_ms + (ms or 0)
  return events
end

function process.cancel() end  -- a sentence is rendered in a moment; what it gives is not looked at

local transports = { http = http, process = process }

-- -- the stream ---------------------------------------------------------------------------------------------------------------

local MS_A_CHARACTER = 120  -- of slow speech: what a text may come to before it was spoken

-- What is billed: a text that was refused, never sent, or that nobody took, is not. One that was left alone before its first sound may have been spoken
-- all the same.
local function units_of(self, try, failure)
  if try.unsent or (not try.stream and self.given_ms == 0) then return nil end
  if failure and self.given_ms == 0 and not failure.cut and failure.class ~= "timeout" then return nil end
  return { characters = characters_of(try.asked.text), seconds = self.given_ms / 1000 }
end

local function settle(self, try, failure)
  fallback.leave(try, units_of(self, try, failure), failure)
  fallback.ended(try, failure)
end

local function end_try(self, failure)
  local try = self.try
  self.try = nil
  if self.limit then self.limit:cancel() end
  self.limit = nil
  if failure and try.transport.cancel then try.transport.cancel(try) end
  -- How far one came that is being opened is known when that has returned.
  if try.opening then try.left = failure else settle(self, try, failure) end
end

local function guarded(fn, self, try)
  local ok, events, failure = pcall(fn, self, try)
  if ok then return events, failure end
  log.error("speech.adapter_broke", { provider = try.target.provider, kind = try.target.kind, text = tostring(events) })
  return nil, { class = "protocol", text = "the answer could not be read" }
end

-- A provider has failed: the next one, unless sound was given. Returns the error to tell, or nil.
local function failed(self, failure)
  if self.cancelled then return nil end  -- ended by whoever cancelled it
  if self.late then failure = { class = "timeout", text = ("no sound within %d ms"):format(self.try.limit_ms) } end
  self.late = nil
  end_try(self, failure)
  if self.given_ms == 0 then return nil end
  self.over = true
  return { type = "error", class = failure.class, text = failure.text, given_ms = self.given_ms, failures = self.way.failures }
end

-- A voice that is a language, as scripts may name it everywhere: only espeak-ng has such voices.
local function is_language(voice) return voice:find("^%l%l$") ~= nil or voice:find("^%l%l%-[%w%-]+$") ~= nil end

-- The text as this target is to speak it.
local function asked_of(self, target)
  local say = self.asked
  local asked = { text = say.text, voice = say.voice, language = say.language, rate = say.rate, speed = say.speed or target.speed or 1 }
  if target.last then
    asked.voice = nil
  elseif asked.voice and target.kind ~= "espeak" and is_language(asked.voice) then
    asked.voice, asked.language = nil, asked.voice
  end
  return asked
end

local function begin(self)
  local try = fallback.next(self.way)
  if not try then
    self.over = true
    return fallback.last(self.way, "synthesiser")
  end
  self.try, self.target, try.transport, try.asked = try, try.target, transports[try.adapter.transport], asked_of(self, try.target)
  local characters = characters_of(try.asked.text)
  local entered, refused = fallback.enter(try, { characters = characters, seconds = characters * MS_A_CHARACTER / 1000 })
  if not entered then return failed(self, refused) end
  -- Signs of life without a sound are as silent as nothing.
  try.limit_ms = first_ms(self, try)
  self.limit = self.world.after(try.limit_ms, function()
    self.late = true
    try.transport.cancel(try)
  end)
  try.opening = true
  local ok, failure = guarded(try.transport.open, self, try)
  try.opening = nil
  if try.left then return settle(self, try, try.left) end
  if not ok then return failed(self, failure) end
end

local function take(self, event)
  if event.type == "audio" then
    if event.pcm == "" then return false end
    if self.limit then self.limit:cancel() end
    self.limit = nil
    fallback.first(self.try)
    if self.given_ms == 0 then fallback.took(self.try, "first_audio", self.try.first_ms) end
    self.given_ms = self.given_ms + seconds_of(event) * 1000
  elseif event.type == "end" then
    if self.given_ms == 0 then return false, { class = "server", text = "the answer holds no sound" } end
    event.ms = self.given_ms
  elseif event.type == "error" then
    return false, event
  end
  return true
end

-- Reads more of the present provider into self.ready; nil, or the error to tell.
local function read(self)
  local events, failure = guarded(self.try.transport.events, self, self.try)
  if self.cancelled then return end
  if not events or self.late then return failed(self, failure or { class = "timeout" }) end
  for _, event in ipairs(events) do
    local wanted, wrong = take(self, event)
    if not wrong and self.given_ms > MOST_SECONDS * 1000 then wrong = { class = "protocol", text = ("more than %d s of sound"):format(MOST_SECONDS) } end
    if wrong then
      local told = failed(self, wrong)
      if told then self.ready[#self.ready + 1] = told end
      return
    end
    if wanted then self.ready[#self.ready + 1] = event end
    if event.type == "end" then
      self.over = true
      return end_try(self)
    end
  end
end

--- The next event, or nil when it is over or cancelled. Waits; one task at a time.
function Stream:next()
  while not self.cancelled do
    local event = table.remove(self.ready, 1)
    if event then return event end
    if self.over then return nil end
    local told
    if self.try then told = read(self) else told = begin(self) end
    if told and not self.cancelled then return told end
  end
  return nil
end

--- Nobody wants the rest: the provider's stream is reset.
function Stream:cancel()
  if self.cancelled or (self.over and #self.ready == 0) then return end
  self.cancelled = true
  self.ready = {}
  local try = self.try
  if try then end_try(self, { class = "cancelled", text = "cancelled", cut = true }) end
end

-- Control bytes are no speech, and what is no UTF-8 is refused by most.
local function clean(text)
  return (require("lib.text").clean(text, MOST_TEXT):gsub("%c+", " "))
end

--- Begins to speak a text. Returns at once.
--- @param world table    { mono_ms, after, stream, health } of ai.world, and run = core.process.run
--- @param asked table    { text, voice = of the target's unless given, language = "en", rate = Hz that is wished, speed = 1 }
--- @param targets table  in the order in which they are tried
--- @param options table|nil  { first_ms = the longest wait for the first sound of one, idle_ms, account = of speech.account }
function synthesiser.say(world, asked, targets, options)
  options = options or {}
  local say = { text = clean(asked.text), voice = asked.voice, language = asked.language or "en", rate = asked.rate or 8000, speed = asked.speed }
  return setmetatable({
    world = world, asked = say, options = { first_ms = options.first_ms, idle_ms = options.idle_ms or IDLE_MS }, ready = {}, given_ms = 0,
    way = fallback.new(world, targets, adapters.synthesiser, nil, options.account), over = not say.text:find("%S"),
  }, Stream)
end

return synthesiser
