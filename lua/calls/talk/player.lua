-- SPDX-License-Identifier: Apache-2.0
--- Plays what a realtime model says while it comes, and knows what of it was heard.
---
---   reply ── text, sound ──> part ── leg:play_append ──> caller
---                             └─ kept until it was heard, for a stop may have been a false alarm
---
--- Sound comes faster than it is spoken. A reply has a part for each stretch of sound: it is silent in between while a tool runs. Replies are known
--- by their numbers (speech.realtime) and are played in the order in which they came.
---
--- player.new{ leg = function() -> leg | nil, next_id = function() -> number, now, mark = function(number, name, ms),
---   settled = function(number): no more of it will be heard, full = function(number, ms): it is longer than can wait, and ends behind so much of it }
local heard = require "voice.heard"

local player = {}
player.__index = player

local RATE, BYTES_A_MS = 8000, 16
local PREBUFFER_MS = 60
local LATE_MS = 60        -- of what was sent, so much is on its way to his ear
local HELD_MS = 120000    -- of sound that is not heard, while nothing is played
local PIECE_BYTES = 10000 * BYTES_A_MS  -- a leg takes all of what it is given or nothing
local SETTLED_MOST = 32   -- replies that are kept though no more of them will be heard: speech.realtime_link knows as many answers that are done
local BACK_MS = 200       -- what is gone on with begins so much before the stop: a syllable twice rather than none

function player.new(world) return setmetatable({ world = world, replies = {}, order = {}, plays = {}, settled = {}, dropped = 0 }, player) end

-- Nil for one that is not kept any more.
local function reply_of(self, number)
  local reply = self.replies[number]
  if not reply and number > self.dropped then
    reply = { number = number, parts = {} }
    self.replies[number] = reply
    self.order[#self.order + 1] = reply
  end
  return reply
end

local function part_of(reply)
  local part = reply.parts[#reply.parts]
  if not part or part.whole then
    part = { text = "", pcm = {}, ms = 0 }
    reply.parts[#reply.parts + 1] = part
  end
  return part
end

-- -- the leg ------------------------------------------------------------------------------------------------------------------

-- Nothing more of this part is heard; its sound need not be kept.
local function end_part(part) part.ended, part.id, part.pcm = true, nil, {} end

local function is_heard_out(reply)
  for _, part in ipairs(reply.parts) do
    if not part.ended and part.ms > 0 then return false end
  end
  return true
end

local function settle(self, reply)
  if reply.settled or not reply.over or not is_heard_out(reply) then return end
  reply.settled = true
  for i, other in ipairs(self.order) do
    if other == reply then table.remove(self.order, i) break end
  end
  self.world.settled(reply.number)
  self.settled[#self.settled + 1] = reply.number
  if #self.settled <= SETTLED_MOST then return end
  local first = table.remove(self.settled, 1)
  self.replies[first], self.dropped = nil, math.max(self.dropped, first)
end

local function play_end(self, part)
  local leg = self.world.leg()
  if leg and part.id then leg:play_end(part.id) end
end

-- Hands sound over: false when no more can wait.
local function play(self, reply, part, sound)
  local leg = self.world.leg()
  if not leg or sound == "" then return true end
  if not part.id then
    local id = self.world.next_id()
    if not leg:play_begin(id, { rate = RATE, prebuffer_ms = part.whole and 0 or PREBUFFER_MS }) then
      end_part(part)
      return true
    end
    part.id = id
    self.plays[id] = { reply = reply, part = part }
  end
  local waiting, err = leg:play_append(part.id, sound)
  return waiting ~= nil or err.code ~= "limit"
end

local function ms_of(reply)
  local ms = 0
  for _, part in ipairs(reply.parts) do ms = ms + part.ms end
  return ms
end

local function waiting_ms(self)
  local ms = 0
  for _, reply in ipairs(self.order) do
    for _, part in ipairs(reply.parts) do
      if not part.ended then ms = ms + part.ms - (part.played or 0) end
    end
  end
  return ms
end

-- -- what the model says ------------------------------------------------------------------------------------------------------

--- The next words of a reply, about when their sound comes.
function player:text(number, text)
  local reply = reply_of(self, number)
  if not reply then return end
  local last = reply.parts[#reply.parts]
  local part = last and reply.over and last or part_of(reply)  -- behind its end they are of what was said before
  part.text = part.text .. text
end

--- The next of its sound: 16 bit at 8 kHz.
function player:audio(number, sound)
  local reply = reply_of(self, number)
  if not reply or reply.over then return end
  local part = part_of(reply)
  self.world.mark(number, "first_audio", self.world.now())
  local fits
  if self.held then fits = waiting_ms(self) < HELD_MS else fits = play(self, reply, part, sound) end
  if not fits then
    self:over(number)
    return self.world.full(number, ms_of(reply))
  end
  if part.ended then return end
  part.pcm[#part.pcm + 1], part.ms = sound, part.ms + #sound / BYTES_A_MS
end

-- All sound of the last part has come.
local function close_part(self, reply)
  local part = reply.parts[#reply.parts]
  if not part or part.whole then return end
  part.whole = true
  if not self.held then play_end(self, part) end
end

--- It says nothing for a while: a tool runs.
function player:pause(number)
  local reply = reply_of(self, number)
  if reply then close_part(self, reply) end
end

--- That was all of its sound.
function player:over(number)
  local reply = reply_of(self, number)
  if not reply then return self.world.settled(number) end
  if reply.over then return end
  close_part(self, reply)
  reply.over = true
  settle(self, reply)
end

-- -- stopping and going on ----------------------------------------------------------------------------------------------------

--- Is any of it still to be heard?
function player:is_busy()
  for _, reply in ipairs(self.order) do
    if not is_heard_out(reply) then return true end
  end
  return false
end

local function stop_part(self, reply, part)
  if not part.id then return end
  local leg = self.world.leg()
  local state = leg and leg:play_state(part.id)
  -- What is no play any more was heard to its end; its event is on the way.
  part.played = state and (part.base_ms or 0) + state.sent_ms or true
  if state and state.sent_ms > 0 then self.world.mark(reply.number, "first_packet", self.world.now() - state.sent_ms) end
  if leg then leg:stop(part.id) end
  self.plays[part.id] = leg and { stopped = reply } or nil
  part.id = nil
  if part.played == true then end_part(part) end
end

local function stop_all(self)
  for _, reply in ipairs(self.order) do
    for _, part in ipairs(reply.parts) do stop_part(self, reply, part) end
  end
end

--- Plays nothing for now; the rest is kept until resume() or cut().
function player:hold()
  if self.held then return end
  self.held = true
  stop_all(self)
end

-- False when no more can wait: it ends behind what was taken.
local function resume_part(self, reply, part)
  if part.ended or part.ms == 0 then return true end
  local from = math.floor(math.max(0, (part.played or 0) - BACK_MS))
  local sound, all = table.concat(part.pcm), true
  part.base_ms = from
  for at = from * BYTES_A_MS + 1, #sound, PIECE_BYTES do
    all = play(self, reply, part, sound:sub(at, at + PIECE_BYTES - 1))
    if not all then
      part.whole, part.pcm, part.ms = true, { sound:sub(1, at - 1) }, (at - 1) / BYTES_A_MS
    end
    if not all or part.ended then break end
  end
  if part.whole then play_end(self, part) end
  return all
end

-- Nothing behind that part is played.
local function end_behind(self, reply, index)
  local found = false
  for _, other in ipairs{ unpack(self.order) } do
    for i, part in ipairs(other.parts) do
      if found or other == reply and i > index then end_part(part) end
    end
    found = found or other == reply
    if found then
      other.over = true
      settle(self, other)
    end
  end
end

--- It was a false alarm: the rest.
function player:resume()
  if not self.held then return end
  self.held = false
  for _, reply in ipairs{ unpack(self.order) } do
    for i, part in ipairs(reply.parts) do
      if not resume_part(self, reply, part) then
        local ms = 0
        for at = 1, i do ms = ms + reply.parts[at].ms end
        end_behind(self, reply, i)
        return self.world.full(reply.number, ms)
      end
    end
  end
end

local function heard_ms(reply)
  local ms = 0
  for _, part in ipairs(reply.parts) do
    ms = ms + (part.played == true and part.ms or math.max(0, (part.played or 0) - LATE_MS))
  end
  return ms
end

--- Plays nothing more of what has come, at once: the number of the first reply that was not heard out, and how many ms of it were; nil
--- when there was none.
--- @param first_cut function|nil  (number): the same reply, before no more of it is waited for
function player:cut(first_cut)
  stop_all(self)
  self.held = false
  local first, ms
  for _, reply in ipairs{ unpack(self.order) } do
    if ms_of(reply) > 0 then
      if not first then
        first, ms = reply.number, heard_ms(reply)
        if first_cut then first_cut(first) end
      end
      for _, part in ipairs(reply.parts) do end_part(part) end
      reply.over = true
      settle(self, reply)
    end
  end
  return first, ms
end

--- What was heard of a reply, whether that is all there was, and all there was.
function player:heard(number)
  local reply, list, texts = self.replies[number], {}, {}
  for _, part in ipairs(reply and reply.parts or {}) do
    if part.text:find("%S") then
      local text = part.text:match("^%s*(.-)%s*$")
      -- Its text came with its sound, so what there is of one is what there is of the other.
      list[#list + 1], texts[#texts + 1] = { text = text, ms = part.ms, whole = true, played = part.played }, text
    end
  end
  local text, all = heard.of(list, LATE_MS)
  return text, all, table.concat(texts, " ")
end

--- Nobody asks for it any more.
function player:forget(number) self.replies[number] = nil end

-- -- what the leg says --------------------------------------------------------------------------------------------------------

--- @param kind string  "begun", "played" or "stopped"
--- @param position number  ms that went out
function player:on_media(kind, id, position)
  local of = self.plays[id]
  if not of then return end
  local now = self.world.now()
  if of.stopped then
    if kind ~= "begun" then
      self.plays[id] = nil
      self.world.mark(of.stopped.number, "silent", now)
    end
    return
  end
  local reply, part = of.reply, of.part
  if kind == "begun" then return self.world.mark(reply.number, "first_packet", now) end
  self.plays[id] = nil
  self.world.mark(reply.number, "first_packet", now - position)
  part.played = kind == "played" or (part.base_ms or 0) + position
  part.whole = true
  end_part(part)
  settle(self, reply)
end

--- Ends all of it.
--- @param keep_sound boolean|nil  what is being heard goes on: the call is another worker's
function player:close(keep_sound)
  if not keep_sound then stop_all(self) end
  self.replies, self.order, self.plays = {}, {}, {}
end

return player
