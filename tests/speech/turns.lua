-- SPDX-License-Identifier: Apache-2.0
--- Plays synthetic calls through the machine of turns, on a clock of its own: parley run tests/speech/turns.lua EARS FOLDER plain|marked NAME...
---
---   NAME.wav ────> ears.c: the detector of voice ──┐
---                  ^ echo                          │
---                  player <── what it asks for ────┼──── voice.turns        the player plays, falls silent and goes on as mouth and media thread do;
---   NAME.json: the truth ── recogniser.lua ────────┤        ^               a model answers after MODEL_MS
---              keys, what the agent asks ──────────┴────────┘
--- Prints one JSON line for each call: what happened, with times. What that is worth is said by figures.py.
local ffi = require "ffi"
local file = require "core.file"
package.path = require("core.worker").root .. "/tests/speech/?.lua;" .. package.path
local heard = require "voice.heard"
local json = require "core.json"
local recogniser = require "recogniser"
local seam = require "voice.seam"
local turns = require "voice.turns"

local MODEL_MS = 500       -- from a turn's end to the answer's first sound: 250 for the model, 250 for the voice
local PROMPT_MS = 100      -- a sentence that is there already
local TICK_MS = 20         -- what is handed over is heard with the next packet
local ECHO_MS = 45         -- so late our own sound comes back
local LATE_MS = 60         -- of what was sent, so much is not heard yet
local SPEECH_TOLD_MS = 60  -- the detector tells of voice so late
local WORD_GAP_MS = 25     -- between the agent's words; behind a comma more
local CLAUSE_GAP_MS = 160
local TORN_MS = 20         -- of a word's beginning nobody misses
local SAMPLES = 160        -- of a frame
local RATE = 8000
local CHANGE = { "speech", "quiet" }
ffi.cdef[[
struct ears;
struct ears *ears_new(const int16_t *pcm, size_t samples);
int ears_hear(struct ears *e, const int16_t *sent, double loudness, const int16_t *echo, double gain, uint32_t *quiet_ms);
void free(void *p);
]]
local PROMPT = { text = "Are you still there?", ms = 1100, ends = { 200, 400, 700, 1100 } }

local call = {}
call.__index = call

local function new(truth)
  local self = setmetatable({ truth = truth, now = 0, queue = {}, order = 0, machine = turns.new({ language = truth.language }, 0), playing = {}, dead = {},
    pieces = {}, eager = {}, commits = json.array{}, log = {}, piece = 0, loudness = 1, sounds = {} }, call)
  for _, name in ipairs{ "stops", "hushes", "ducks", "heard", "asides", "prompts", "audible" } do self.log[name] = json.array{} end
  return self
end

function call:at(ms, run)
  self.order = self.order + 1
  self.queue[#self.queue + 1] = { at = math.max(ms, self.now), order = self.order, run = run }
end

-- -- the player ----------------------------------------------------------------------------------------------------------------

local function read(path)
  return assert(file.read(path), path)
end

-- The sound of a piece, or nil.
local function pcm_of(self, piece)
  if not piece.sound then return nil end
  self.sounds[piece.sound] = self.sounds[piece.sound] or read(piece.sound)
  return self.sounds[piece.sound]
end

-- What has been played of the piece that is heard.
local function position(self)
  local head = self.playing[1]
  return head and math.max(0, math.min(head.ms, self.now - head.began)) or 0
end

local function begin_head(self)
  local head = self.playing[1]
  if not head then return end
  head.began = self.now + (head.first and TICK_MS or 0)
  head.first = nil
  self.log.audible[#self.log.audible + 1] = { from = head.began, to = head.began + head.ms, reply = head.reply }
  head.audible = self.log.audible[#self.log.audible]
end

local function play(self, reply, piece, from_ms)
  self.piece = self.piece + 1
  local one = { id = self.piece, reply = reply, of = piece, from = from_ms or 0, ms = piece.ms - (from_ms or 0), first = #self.playing == 0 }
  self.playing[#self.playing + 1] = one
  self.pieces[reply] = self.pieces[reply] or {}
  table.insert(self.pieces[reply], one)
  if #self.playing == 1 then begin_head(self) end
  self:tell{ kind = "play", reply = reply, id = one.id, ms = one.ms }
end

local function stop(self, reply)
  local head = self.playing[1]
  if not head then return end
  head.played = position(self)
  head.audible.to = math.min(head.audible.to, self.now)
  self.loudness = 1
  for _, one in ipairs(self.playing) do one.played = one.played or 0 end
  self.playing = {}
  self.rest = { reply = reply, pieces = self.pieces[reply] or {} }
end

local function piece_over(self)
  local head = table.remove(self.playing, 1)
  head.played = true
  begin_head(self)
  self:tell{ kind = "played", id = head.id }
end

-- The words that were heard of a reply, by the truth and by what the history would keep.
local function note_heard(self, reply)
  local pieces, truth, any = {}, 0, false
  for _, one in ipairs(self.pieces[reply] or {}) do
    local played = one.played == nil and 0 or one.played
    if played ~= true then played = one.from + played end
    pieces[#pieces + 1] = { text = one.of.text, ms = one.of.ms, whole = true, played = played ~= 0 and played or nil }
    for _, ends in ipairs(one.of.ends) do
      if played == true or ends <= played then truth = truth + 1 end
    end
    any = any or played ~= 0
  end
  if not any then return end
  local text = heard.of(pieces)
  local _, claimed = text:gsub("%S+", "")
  self.log.heard[#self.log.heard + 1] = { at = self.now, truth = truth, claimed = claimed }
end

-- -- what the machine asks for ---------------------------------------------------------------------------------------------------

local act = {}

local function say_all(self, reply, pieces)
  for _, piece in ipairs(pieces) do play(self, reply, piece) end
  self:tell{ kind = "replied", reply = reply }
end

function act.speak(self, a)
  local asked = self.asking
  self:at(self.now, function() say_all(self, a.reply, asked) end)
end

function act.begin_model(self, a) self.eager[a.turn .. "/" .. a.try] = self.now end
function act.cancel_model(self, a) self.eager[a.turn .. "/" .. a.try] = nil end

function act.commit(self, a)
  local began = a.eager and self.eager[a.turn .. "/" .. a.eager] or self.now
  local commit = { at = self.now, turn = a.turn, reply = a.reply, text = a.text, keys = a.keys, by = a.by, ended = a.ended, ending = a.ending }
  self.commits[#self.commits + 1] = commit
  self:at(math.max(self.now, began + MODEL_MS), function()
    if self.dead[a.reply] then return end
    say_all(self, a.reply, self.truth.answer)
  end)
end

local function commit_of(self, reply)
  for _, commit in ipairs(self.commits) do
    if commit.reply == reply then return commit end
  end
  return {}
end

function act.amend(self, a)
  for i = #self.commits, 1, -1 do
    if self.commits[i].turn == a.turn then
      self.commits[i].text = a.text
      return
    end
  end
end

function act.take_back(self, a)
  self.dead[a.reply] = true
  note_heard(self, a.reply)
  commit_of(self, a.reply).taken_back_at = self.now
end

function act.drop(self, a)
  self.dead[a.reply] = true
  note_heard(self, a.reply)
end

local function is_heard(self)
  local head = self.playing[1]
  return head ~= nil and self.now > head.began
end

function act.hush(self, a)
  if is_heard(self) then
    self.hush = { at = self.now, reply = a.reply }
    self.log.hushes[#self.log.hushes + 1] = self.hush
  end
  stop(self, a.reply)
end

function act.stop(self, a)
  if a.why == "stale" then return end
  if a.why ~= "held" and (self.hush or is_heard(self)) then
    self.stopped = { at = self.now, sure = a.sure, why = a.why, reply = a.reply, silent_at = self.hush and self.hush.at or self.now }
    self.log.stops[#self.log.stops + 1] = self.stopped
    if self.hush then self.hush.stopped_at = self.now end
    self.hush = nil
  end
  stop(self, a.reply)
end

-- Whether a piece that is gone on with there begins inside of a word that had not been heard.
local function is_torn(piece, from)
  local begin, i = 0, 0
  for word in piece.text:gmatch("%S+") do
    i = i + 1
    local ends = piece.ends[i]
    if from < ends then return from - begin > TORN_MS and ends - from > TORN_MS end
    begin = ends + WORD_GAP_MS + (word:find("[,;:]$") and CLAUSE_GAP_MS or 0)
  end
  return false
end

function act.resume(self, a)
  local of = self.hush or self.stopped
  if of and of.reply == a.reply then of.resumed_at = self.now end
  self.hush, self.stopped = nil, nil
  self:at(self.now, function()
    local rest = self.rest and self.rest.reply == a.reply and self.rest.pieces or {}
    self.pieces[a.reply] = {}
    for _, one in ipairs(rest) do
      if one.played ~= true then
        local from = one.from
        if one.played and one.played > 0 then
          local so_far, pcm = from + one.played, pcm_of(self, one.of)
          from = heard.resume_ms({ text = one.of.text, ms = one.of.ms, whole = true, played = so_far }, LATE_MS)
          if pcm and so_far > LATE_MS then from = seam.at(pcm, RATE, from, so_far - LATE_MS) end
          if of then of.torn = is_torn(one.of, from) end
        end
        play(self, a.reply, one.of, from)
      end
    end
    self:tell{ kind = "replied", reply = a.reply }
  end)
end

function act.duck(self, a)
  self.loudness = 10 ^ (-a.db / 20)
  self.log.ducks[#self.log.ducks + 1] = { at = self.now, reply = a.reply }
end

function act.unduck(self)
  self.loudness = 1
  local last = self.log.ducks[#self.log.ducks]
  if last then last.until_at = self.now end
end

function act.prompt(self, a)
  self.log.prompts[#self.log.prompts + 1] = { at = self.now, why = a.why }
  self:at(self.now + PROMPT_MS, function()
    if not self.dead[a.reply] then say_all(self, a.reply, { PROMPT }) end
  end)
end

function act.give_up(self, a) self.log.gave_up = { at = self.now, why = a.why } end
function act.aside(self, a) self.log.asides[#self.log.asides + 1] = { at = self.now, text = a.text } end
function act.filler() end

function call:tell(event)
  for _, action in ipairs(self.machine:take(event, self.now)) do
    local done = act[action.act] or error("no " .. action.act .. " here")
    done(self, action)
  end
end

-- -- the call ----------------------------------------------------------------------------------------------------------------------

local function next_of(self)
  local best
  for i, one in ipairs(self.queue) do
    if not best or one.at < self.queue[best].at or (one.at == self.queue[best].at and one.order < self.queue[best].order) then best = i end
  end
  return best
end

function call:run()
  while true do
    local i = next_of(self)
    local queued = i and self.queue[i].at or math.huge
    local due = self.machine:due() or math.huge
    local head = self.playing[1]
    local ends = head and head.began + head.ms or math.huge
    local at = math.min(queued, due, ends)
    if at > self.truth.ms then break end
    self.now = math.max(self.now, at)
    if ends <= at then piece_over(self)
    elseif queued <= due then table.remove(self.queue, i).run()
    else self:tell{ kind = "tick" } end
  end
  self.log.commits, self.log.name = self.commits, self.truth.name
  return self.log
end

-- What we play of the head, ms of it ago, as samples; nil when it is silent.
local function sound_of(self, ago_ms)
  local head = self.playing[1]
  local pcm = head and pcm_of(self, head.of)
  if not pcm then return nil end
  local at = math.floor(head.from + self.now - head.began - ago_ms) * 8
  if at < 0 or at + SAMPLES > #pcm / 2 then return nil end
  return ffi.cast("const int16_t *", pcm) + at
end

local function hear(self, ears, lib, quiet_ms)
  local change = lib.ears_hear(ears, sound_of(self, TICK_MS), self.loudness, self.truth.echo and sound_of(self, TICK_MS + ECHO_MS), (self.truth.echo or 0) * self.loudness, quiet_ms)
  if change < 0 then return end
  if CHANGE[change] then self:tell{ kind = CHANGE[change], ms = change == 1 and SPEECH_TOLD_MS or quiet_ms[0] } end
  self:at(self.now + TICK_MS, function() hear(self, ears, lib, quiet_ms) end)
end

local function listen(self, lib, wav)
  self.wav = wav  -- kept while it is looked at
  local _, head = wav:find("data....", 13)
  local ears = ffi.gc(lib.ears_new(ffi.cast("const int16_t *", ffi.cast("const char *", wav) + head), math.floor((#wav - head) / 2)), ffi.C.free)
  self:at(TICK_MS, function() hear(self, ears, lib, ffi.new("uint32_t[1]")) end)
end

local function play_call(lib, folder, name, marked)
  local truth = assert(json.decode(read(folder .. "/" .. name .. ".json")))
  local self = new(truth)
  for _, asked in ipairs(truth.agent) do
    self:at(asked.at, function()
      self.asking = asked.pieces
      self:tell{ kind = "expect", expect = asked.expect }
      self:tell{ kind = "say" }
    end)
  end
  listen(self, lib, read(folder .. "/" .. name .. ".wav"))
  for _, told in ipairs(recogniser.tells(truth.speech, marked)) do
    self:at(told.at, function() self:tell{ kind = told.kind, text = told.text } end)
  end
  for _, key in ipairs(truth.keys) do
    self:at(key.at, function() self:tell{ kind = "key", digit = key.digit } end)
  end
  return self:run()
end

local library, folder, style = ...
local lib = ffi.load(library)
for _, name in ipairs{ select(4, ...) } do print(json.encode(play_call(lib, folder, name, style == "marked"))) end
return 0
