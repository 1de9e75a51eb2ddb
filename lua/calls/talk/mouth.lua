-- SPDX-License-Identifier: Apache-2.0
--- Speaks: pieces of text to a synthesiser, its sound to the leg while it is still being made, and what of it was heard.
---
---   reply ── speak(text) ──> piece ── synthesiser ──> pcm ── leg:play_append ──> caller
---              at most two pieces ahead of his ear    └─ kept until heard, for a stop may have been a false alarm
---
--- mouth.new{ leg = function() -> leg | nil, next_id = function() -> number, say = function(text, kept) -> stream of speech.synthesiser, tell =
---   function(kind, fields) of the machine of turns, now, mark = function(reply, name, ms), done = function(reply): all of it was heard,
---   failed = function(reply, err): nothing of a piece could be spoken }
local heard = require "voice.heard"
local pcm = require "core.pcm"
local promise = require "lib.promise"
local seam = require "voice.seam"
local task = require "core.task"

local mouth = {}
mouth.__index = mouth

local AHEAD = 2           -- pieces that are there and not heard: so little is wasted when he interrupts
local BREAKS = 3          -- of a piece: so often another voice goes on with what is missing
local PREBUFFER_MS = 40
local LATE_MS = 60        -- of what was sent, so much is on its way to his ear
local RAMP_MS = 60
local PLAYABLE = { [8000] = true, [16000] = true, [24000] = true }

function mouth.new(world) return setmetatable({ world = world, replies = {}, plays = {} }, mouth) end

--- A reply begins.
--- @param options table|nil  { guard = of its pieces, see voice.playing }
function mouth:open(id, options)
  local reply = self.replies[id]
  if reply then  -- a second thing to say before the first was over
    reply.over, reply.told = false, false
    return reply
  end
  reply = { id = id, pieces = {}, at = 1, guard = options and options.guard }
  self.replies[id] = reply
  return reply
end

local function room(reply)
  local waiting = reply.room
  reply.room = nil
  if waiting then waiting:give() end
end

-- -- one piece ----------------------------------------------------------------------------------------------------------------

-- As the leg can play it: at one of its rates, and all of a piece at the same one, though another voice goes on with it.
local function playable(piece, sound, rate)
  piece.rate = piece.rate or PLAYABLE[rate] and rate or 8000
  if rate == piece.rate then return sound end
  if piece.from ~= rate then piece.from, piece.resampler = rate, pcm.resampler(rate, piece.rate) end
  return piece.resampler and piece.resampler:feed(sound) or ""
end

local function play(self, reply, piece, sound)
  local leg = self.world.leg()
  if not leg or sound == "" then return end
  if not piece.id then
    local id = self.world.next_id()
    if not leg:play_begin(id, { rate = piece.rate, prebuffer_ms = piece.whole and 0 or PREBUFFER_MS }) then return end
    piece.id = id
    self.plays[id] = { reply = reply, piece = piece }
    leg:play_append(id, sound)
    return self.world.tell("play", { reply = reply.id, id = id, guard = piece.guard, filler = piece.filler })
  end
  leg:play_append(piece.id, sound)
end

local function play_end(self, piece)
  local leg = self.world.leg()
  if not leg or not piece.id then return end
  leg:play_end(piece.id)
  local state = leg:play_state(piece.id)
  if state then self.world.tell("whole", { id = piece.id, ms = piece.ms - (piece.base_ms or 0) - state.sent_ms }) end
end

local function add_sound(self, reply, piece, event)
  local sound = playable(piece, event.pcm, event.rate)
  if sound == "" then return end
  piece.pcm[#piece.pcm + 1] = sound
  piece.ms = piece.ms + #sound / 2 / piece.rate * 1000
  self.world.mark(reply, "first_audio", self.world.now())
  if not reply.held then play(self, reply, piece, sound) end
end

-- Marks are told as texts, in their order: where each stands in ours.
local function add_mark(piece, event)
  if event.kind ~= "word" then return end
  local _, stop = piece.text:find(event.text, piece.marked + 1, true)
  if not stop then return end
  piece.marks = piece.marks or {}
  piece.marks[#piece.marks + 1] = { stop = stop, ms = piece.lead_ms + event.to_ms }
  piece.marked = stop
end

-- Speaks a text of a piece: true, or nil, err.
local function render(self, reply, piece, text)
  local stream = self.world.say(text, piece.kept)
  if reply.gone then  -- while it was asked for: nobody else knows of it
    stream:cancel()
    return true
  end
  reply.stream = stream
  piece.lead_ms = piece.ms
  while not reply.gone do
    local event = stream:next()
    if reply.gone or event == nil then break end
    if event.type == "audio" then
      add_sound(self, reply, piece, event)
    elseif event.type == "mark" then
      add_mark(piece, event)
    elseif event.type == "error" then
      reply.stream = nil
      return nil, event
    end
  end
  reply.stream = nil
  return true
end

-- The provider broke off in the midst of it: the words that are missing, by another's voice.
local function rest_of(piece)
  local said = heard.of{ { text = piece.text, ms = piece.ms, played = piece.ms, marks = piece.marks } }
  return piece.text:sub(#said + 1)
end

local function speak_piece(self, reply, piece)
  local _, err = render(self, reply, piece, piece.text)
  for _ = 1, BREAKS do
    local rest = err and not reply.gone and piece.ms > 0 and rest_of(piece) or ""
    if not rest:find("%S") then break end
    _, err = render(self, reply, piece, rest)
  end
  piece.whole = true
  if reply.gone then return end
  if piece.ms == 0 then
    piece.played = true  -- there is nothing to wait for
    piece.lost = true
    self.world.failed(reply, err or { class = "server", text = "nothing was spoken" })
  elseif not reply.held then
    play_end(self, piece)
  end
end

-- -- the reply ----------------------------------------------------------------------------------------------------------------

local function ahead(reply)
  local count = 0
  for i = 1, reply.at - 1 do
    if reply.pieces[i].played ~= true then count = count + 1 end
  end
  return count
end

local function all_heard(reply)
  for _, piece in ipairs(reply.pieces) do
    if piece.played ~= true then return false end
  end
  return true
end

-- All has been handed over; told once for each time that it is so.
local function settle(self, reply)
  if reply.gone or reply.held or not reply.over or reply.running or reply.at <= #reply.pieces then return end
  if not reply.told then
    reply.told = true
    self.world.tell("replied", { reply = reply.id })
  end
  if not reply.gone and all_heard(reply) then
    reply.gone = true
    self.replies[reply.id] = nil
    self.world.done(reply)
  end
end

local function run(self, reply)
  if reply.running then return end
  reply.running = true
  task.spawn(function()
    while not reply.gone and reply.pieces[reply.at] do
      if ahead(reply) >= AHEAD then
        reply.room = promise.new()
        reply.room:wait()
      else
        local piece = reply.pieces[reply.at]
        reply.at = reply.at + 1
        speak_piece(self, reply, piece)
      end
    end
    reply.running = false
    settle(self, reply)
  end)
end

--- Adds texts to be spoken, in their order.
--- @param options table|nil  { filler = it only fills a silence, kept = it will be said again, to others }
function mouth:speak(id, texts, options)
  options = options or {}
  local reply = self.replies[id]
  if not reply or reply.gone then return end
  for _, text in ipairs(texts) do
    self.world.mark(reply, "voice_asked", self.world.now())
    reply.pieces[#reply.pieces + 1] = { text = text, guard = reply.guard, filler = options.filler, kept = options.kept, pcm = {}, ms = 0, marked = 0, lead_ms = 0 }
  end
  run(self, reply)
end

--- No more texts come for it.
function mouth:finish(id)
  local reply = self.replies[id]
  if not reply then return end
  reply.over = true
  settle(self, reply)
end

--- Is anything of it under way that is not heard yet?
function mouth:busy(id)
  local reply = self.replies[id]
  return reply ~= nil and (not all_heard(reply) or reply.running == true)
end

-- -- stopping and going on ------------------------------------------------------------------------------------------------------

local function stop_plays(self, reply)
  local leg = self.world.leg()
  for _, piece in ipairs(reply.pieces) do
    if piece.id then
      if leg then
        local state = leg:play_state(piece.id)
        -- What is no play any more was heard to its end; its event is on the way.
        piece.played = state and (piece.base_ms or 0) + state.sent_ms or true
        if state and state.sent_ms > 0 then self.world.mark(reply, "first_packet", self.world.now() - state.sent_ms) end
        leg:stop(piece.id)
      end
      self.plays[piece.id] = leg and { stopped = reply } or nil
      piece.id = nil
    end
  end
end

--- Plays nothing more of it, at once. Its rest is kept until drop or resume.
function mouth:stop(id)
  local reply = self.replies[id]
  if not reply then return end
  reply.held, reply.told = true, false
  stop_plays(self, reply)
  local leg = self.world.leg()
  if leg then leg:duck(0) end
end

--- It was a false alarm: the rest.
function mouth:resume(id)
  local reply = self.replies[id]
  if not reply or not reply.held then return end
  reply.held = false
  for i = 1, reply.at - 1 do
    local piece = reply.pieces[i]
    if piece.played ~= true and piece.rate then
      local sound, from = table.concat(piece.pcm), 0
      if (piece.played or 0) > LATE_MS then from = seam.at(sound, piece.rate, heard.resume_ms(piece, LATE_MS), piece.played - LATE_MS) end
      piece.base_ms = from
      local samples = math.floor(from * piece.rate / 1000)
      play(self, reply, piece, sound:sub(samples * 2 + 1))
      if piece.whole then play_end(self, piece) end
    end
  end
  room(reply)
  run(self, reply)
end

function mouth:duck(db)
  local leg = self.world.leg()
  if leg then leg:duck(db, RAMP_MS) end
end

local function end_reply(self, reply)
  stop_plays(self, reply)
  reply.gone = true
  self.replies[reply.id] = nil
  if reply.stream then reply.stream:cancel() end
  room(reply)
end

--- Nobody wants it any more: what was heard of it, see mouth.heard.
function mouth:drop(id)
  local reply = self.replies[id]
  if not reply then return "", false, "" end
  end_reply(self, reply)
  return mouth.heard(reply)
end

--- What was heard of a reply, without what only filled a silence; whether that is all there was, and all there was.
function mouth.heard(reply)
  local list, texts = {}, {}
  for _, piece in ipairs(reply.pieces) do
    if not piece.filler and not piece.lost then list[#list + 1], texts[#texts + 1] = piece, piece.text end
  end
  local text, all = heard.of(list, LATE_MS)
  return text, all, table.concat(texts, " ")
end

-- -- what the leg says ------------------------------------------------------------------------------------------------------------

-- What had not begun is told of before what fades out.
local function stopped(self, id, reply, now)
  self.plays[id] = nil
  for _, other in pairs(self.plays) do
    if other.stopped == reply then return end
  end
  self.world.mark(reply, "silent", now)
end

--- @param kind string  "begun", "played" or "stopped"
--- @param position number  ms that went out
function mouth:on_media(kind, id, position)
  local of = self.plays[id]
  if not of then return end
  local now = self.world.now()
  if of.stopped then
    if kind ~= "begun" then stopped(self, id, of.stopped, now) end
    return
  end
  local reply, piece = of.reply, of.piece
  if kind == "begun" then return self.world.mark(reply, "first_packet", now) end
  self.plays[id] = nil
  piece.id, piece.pcm = nil, {}
  self.world.mark(reply, "first_packet", now - position)
  piece.played = kind == "played" or (piece.base_ms or 0) + position
  self.world.tell("played", { id = id })
  room(reply)
  settle(self, reply)
end

--- Ends all of it.
--- @param keep_sound boolean|nil  what is being heard goes on: the call is another worker's
function mouth:close(keep_sound)
  local world = self.world
  if keep_sound then self.world = setmetatable({ leg = function() end }, { __index = world }) end
  for _, reply in pairs(self.replies) do end_reply(self, reply) end
  self.replies, self.plays = {}, {}
end

return mouth
