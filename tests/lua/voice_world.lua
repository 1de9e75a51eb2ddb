-- SPDX-License-Identifier: Apache-2.0
--- A caller and an engine around the machine of turns, in a time of their own: the VAD tells voice after 60 ms and silence every 200.
local turns = require "voice.turns"

local world = {}
world.__index = world

local VAD_SPEECH_MS, VAD_QUIET_MS = 60, 200

function world.new(options)
  local self = setmetatable({ now = 100000, done = {}, told = 0, given = {}, replied = {} }, world)
  self.machine = turns.new(options or {}, self.now)
  return self
end

-- What was handed over and not played, for it is told again when it was hushed.
local function note(self, event)
  if event.kind == "play" then
    self.given[#self.given + 1] = event
  elseif event.kind == "replied" then
    self.replied[event.reply] = true
  elseif event.kind == "played" then
    for i, piece in ipairs(self.given) do
      if piece.id == event.id then
        for _ = 1, i do table.remove(self.given, 1) end
        break
      end
    end
  end
end

local function go_on(self, reply)
  local given, replied = self.given, self.replied[reply]
  self.given, self.replied[reply] = {}, nil
  for _, piece in ipairs(given) do
    if piece.reply == reply then self:tell("play", piece) end
  end
  if replied then self:tell("replied", { reply = reply }) end
end

--- Tells the machine; what it says is kept with its time. What it hushed and resumes is played again from its beginning; what it stopped is the
--- test's to play.
function world:tell(kind, fields)
  local event, again = { kind = kind }, nil
  for name, value in pairs(fields or {}) do event[name] = value end
  note(self, event)
  for _, action in ipairs(self.machine:take(event, self.now)) do
    action.at = self.now
    self.done[#self.done + 1] = action
    if action.act == "hush" then self.hushed = action.reply end
    if action.act == "resume" then again = self.hushed end
    if action.act == "stop" or action.act == "resume" then self.hushed = nil end
  end
  if again then go_on(self, again) end
  return self
end

--- Lets time pass.
function world:pass(ms)
  local stop = self.now + ms
  while true do
    local due = self.machine:due() or math.huge
    local vad = self.vad_at or math.huge
    local at = math.min(due, vad)
    if at > stop then break end
    self.now = math.max(self.now, at)
    if vad <= due then
      if self.speaks_since then
        self.vad_at = nil
        self:tell("speech", { ms = self.now - self.speaks_since })
      else
        self.vad_at = self.now + VAD_QUIET_MS
        self:tell("quiet", { ms = self.now - self.quiet_since })
      end
    else
      self:tell("tick")
    end
  end
  self.now = stop
  return self
end

--- The caller makes a sound for that long; then he is silent.
function world:voice(ms) return self:voice_on():pass(ms):voice_off() end

--- He begins to, and does not stop.
function world:voice_on()
  self.speaks_since, self.vad_at = self.now, self.now + VAD_SPEECH_MS
  return self
end

function world:voice_off()
  self.speaks_since, self.quiet_since, self.vad_at = nil, self.now, self.now + VAD_QUIET_MS
  return self
end

--- He says a text; the recogniser has it as partial with the last sound.
function world:says(text, ms)
  self:voice(ms or 600)
  return self:tell("partial", { text = text })
end

function world:final(text) return self:tell("final", { text = text }) end
function world:expect(expect) return self:tell("expect", { expect = expect }) end

function world:keys(text)
  for digit in text:gmatch(".") do self:tell("key", { digit = digit }) end
  return self
end

--- The newest action of that name, or nil.
function world:last(name)
  for i = #self.done, 1, -1 do
    if self.done[i].act == name then return self.done[i] end
  end
end

function world:count(name)
  local n = 0
  for _, action in ipairs(self.done) do
    if action.act == name then n = n + 1 end
  end
  return n
end

--- The names of what was said since the last call of it.
function world:acts()
  local names = {}
  for i = self.told + 1, #self.done do names[#names + 1] = self.done[i].act end
  self.told = #self.done
  return table.concat(names, " ")
end

--- The engine speaks by itself: pieces of so many ms. Returns the reply's number; with `open` more may come.
function world:speaks(lengths, options)
  options = options or {}
  self:tell("say")
  local reply = self:last("speak").reply
  self:plays(reply, lengths, options)
  if not options.open then self:tell("replied", { reply = reply }) end
  self:acts()
  return reply
end

function world:plays(reply, lengths, options)
  for i, ms in ipairs(lengths) do
    self:tell("play", { reply = reply, id = reply * 100 + i, ms = ms, guard = options and options.guard, filler = options and options.filler })
  end
end

--- What a caller of one turn does: says it, and waits until it is committed.
function world:takes_turn(text)
  self:says(text):final(text):pass(1000)
  self:acts()
  return self:last("commit")
end

return world
