-- SPDX-License-Identifier: Apache-2.0
--- A conversation's world in a time of its own: a leg that plays, a synthesiser of 60 ms a character, a recogniser that understands what it is told,
--- a model that says what it is given. Nothing waits for a clock.
local asks = require "calls.talk.asks"
local promise = require "lib.promise"
local talk = require "calls.talk"
local task = require "core.task"

local world = {}
world.__index = world

local CHARACTER_MS, RATE = 60, 8000

local LIMIT = { turns = 40, seconds = 600 }

--- @param options table|nil  { args, call, kept, answers = what the knowledge base says by question, models = list of functions(request, options) -> answer, err,
---   headings, first_line, has_model, is_card, say = function(text) -> stream, script = function(question) -> told: runs what is asked of the script, told,
---   of = calls.talk or calls.talk.live, going }
function world.new(options)
  options = options or {}
  local self = setmetatable({ at = 100000, timers = {}, plays = {}, order = {}, said = {}, lines = {}, noticed = {}, timed = {}, sessions = {}, asked = {}, kept = {}, closed = {} }, world)
  local leg = {}
  self.call = { id = "c-n1-1-x", tenant = { id = 1, slug = "acme", name = "Acme" }, from = "+12025550123", direction = "inbound", leg = leg, next_play = 0,
    verbs = { create_lead = function(_, args, entry)
      self.leads = self.leads or {}
      table.insert(self.leads, { fields = args[1], key = entry.key })
      if options.no_lead then return nil, { code = "failed", text = "the lead could not be stored" } end
      return { id = "ld_1", score = 10, status = "new" }
    end } }
  for name, value in pairs(options.call or {}) do self.call[name] = value end
  self:make_leg(leg)
  local args = { expect = "open", language = "en", limit = LIMIT, tools = {} }
  for name, value in pairs(options.args or {}) do args[name] = value end
  if options.script then
    self.questions = {}
    self.asks = asks.new({ after = function(ms, fn) return self:after(ms, fn) end, wake = function()
      task.spawn(function()
        local question = self.asks:next()
        if not question then return end
        self.questions[#self.questions + 1] = question
        local told = options.script(question)
        if told then
          told.id = question.id
          self.asks:tell(told)
        end
      end)
    end }, options.kept and options.kept.asks)
  end
  self.talk = (options.of or talk).new{
    call = self.call, args = args, key = "k", kept = options.kept, told = options.told, going = options.going,
    world = {
      now = function() return self.at end, after = function(ms, fn) return self:after(ms, fn) end,
      say = options.say or function(text) return self:stream(text) end,
      lead = function(asked) return self:lead(asked) end,
      open_ears = function(asked) return self:session(asked) end, is_live = function() return options.live == true end,
      has_model = options.has_model or function() return options.models ~= nil end,
      chat = function(_, request, given)
        self.asked[#self.asked + 1] = request
        return options.models[math.min(#self.asked, #options.models)](request, given, self)
      end,
      answer = function(text) return (options.answers or {})[text] end, headings = options.headings or { "Opening hours", "Prices" },
      first_line = options.first_line, asks = self.asks,
      keep = function(kept, used) self.kept, self.keys_used = kept, (self.keys_used or 0) + used end,
      transcript = function(line) self.lines[#self.lines + 1] = line end,
      noticed = function(kind, fields) self.noticed[kind] = fields end,
      asks_keys = function(are_asked) self.asks_keys = are_asked end,
      timed = function(report) self.timed[#self.timed + 1] = report end,
      telling = function(text) self.telling = text end, is_card = options.is_card,
      over = function(result) self.result = result end,
    },
  }
  return self
end

--- @param own boolean|nil  it is of what is played here, and none of the conversation's
function world:after(ms, fn, own)
  local timer = { at = self.at + ms, fn = fn, own = own, cancel = function(timer) timer.fn = nil end }
  self.timers[#self.timers + 1] = timer
  return timer
end

--- Lets time pass.
function world:pass(ms)
  local stop = self.at + ms
  while true do
    local first
    for _, timer in ipairs(self.timers) do
      if timer.fn and (not first or timer.at < first.at) then first = timer end
    end
    if not first or first.at > stop then break end
    self.at = math.max(self.at, first.at)
    local fn = first.fn
    first.fn = nil
    task.spawn(fn)
  end
  for i = #self.timers, 1, -1 do
    if not self.timers[i].fn then table.remove(self.timers, i) end
  end
  self.at = stop
  return self
end

-- -- the leg: one play behind the other ---------------------------------------------------------------------------------------

local function bytes_ms(pcm) return #pcm / 2 / RATE * 1000 end

-- When the first play began, it is over when its sound is.
function world:next_play()
  local id = self.order[1]
  local play = id and self.plays[id]
  if not play or play.began then return end
  if play.ms == 0 then return end
  play.began = self.at
  self.talk:on_media("begun", id, 0)
  self:watch(id)
end

function world:watch(id)
  local play = self.plays[id]
  if not play or not play.began or not play.over then return end
  self:after(play.ms - (self.at - play.began), function()
    if self.plays[id] ~= play then return end
    self.plays[id] = nil
    table.remove(self.order, 1)
    self.talk:on_media("played", id, play.ms)
    self:next_play()
  end, true)
end

function world:make_leg(leg)
  function leg.listen(_, given)
    self.on_audio = given.on_audio
    return { close = function() self.closed.listener = true end }
  end
  function leg.play_begin(_, id)
    self.plays[id] = { ms = 0 }
    self.order[#self.order + 1] = id
    return true
  end
  function leg.play_append(_, id, pcm)
    local play = self.plays[id]
    if not play then return nil, { code = "not_found" } end
    play.ms = play.ms + bytes_ms(pcm)
    self:next_play()
    return play.ms
  end
  function leg.play_end(_, id)
    local play = self.plays[id]
    if not play then return nil, { code = "not_found" } end
    play.over = true
    self:watch(id)
    return true
  end
  function leg.play_state(_, id)
    local play = self.plays[id]
    return play and { sent_ms = play.began and math.min(play.ms, self.at - play.began) or 0 } or nil
  end
  function leg.stop(_, id)
    local play = self.plays[id]
    if not play then return end
    self.plays[id] = nil
    for i, other in ipairs(self.order) do
      if other == id then table.remove(self.order, i) break end
    end
    self:after(10, function() self.talk:on_media("stopped", id, play.began and self.at - play.began or 0) end, true)
    self:next_play()
  end
  function leg.duck(_, db) self.ducked = db end
  function leg.stats() return { delay_ms = 20 + (self.buffered_ms or 0) } end
end

-- A synthesiser: one sound for the whole text, at once.
function world:stream(text)
  self.said[#self.said + 1] = text
  local events = { { type = "audio", pcm = ("\1\0"):rep(#text * CHARACTER_MS * RATE / 1000), rate = RATE }, { type = "end" } }
  return {
    next = function() return table.remove(events, 1) end,
    cancel = function() events, self.closed.stream = {}, true end,
  }
end

-- -- the caller ---------------------------------------------------------------------------------------------------------------

function world:session(asked)
  local session = { asked = asked, events = {}, fed = 0 }
  local function give(event)
    session.events[#session.events + 1] = event
    if session.waiting then session.waiting:give() end
  end
  session.give = give
  function session.feed(_, pcm) session.fed = session.fed + bytes_ms(pcm) end
  -- The text of the utterance comes a while after its end.
  function session.flush()
    local text = self.next_text or ""
    self.next_text = nil
    self:after(300, function()
      give{ type = "final", text = text, words = {} }
      give{ type = "utterance_end" }
    end, true)
  end
  function session.cancel()
    session.cancelled = true
    if session.waiting then session.waiting:give() end
  end
  function session.next()
    while not session.events[1] and not session.cancelled do
      session.waiting = promise.new()
      session.waiting:wait()
      session.waiting = nil
    end
    return not session.cancelled and table.remove(session.events, 1) or nil
  end
  self.sessions[#self.sessions + 1] = session
  return session
end

--- A realtime model, to which nothing is done but what a test does: self.model.asked is what it was asked for, self.model.told what it was told.
function world:lead(asked)
  local model = { asked = asked, told = {}, heard_ms = 0 }
  for _, name in ipairs{ "text", "cancel" } do
    model[name] = function(_, ...) model.told[#model.told + 1] = { name, ... } end
  end
  function model.tool_result(_, ...)
    model.told[#model.told + 1] = { "tool_result", ... }
    return true
  end
  function model.audio(_, pcm) model.heard_ms = model.heard_ms + bytes_ms(pcm) end
  function model.expect_answer() model.expected = true end
  function model.close() model.closed = true end
  self.model = model
  return model
end

--- Something that the realtime model's session tells.
function world:tell(kind, fields)
  local event = { type = kind }
  for name, value in pairs(fields or {}) do event[name] = value end
  self.model.asked.on_event(event)
  return self
end

--- The realtime model answers with so much of sound, whole.
function world:replies(number, text, ms, reason)
  self:tell("agent_text", { reply = number, text = text }):tell("audio", { reply = number, pcm = ("\1\0"):rep(ms * RATE / 1000) })
  return self:tell("audio_end", { reply = number, ms = ms }):tell("turn_done", { reply = number, reason = reason or "end" })
end

--- The caller says that to the realtime model, which hears him.
function world:says_to_model(turn, text, ms)
  self.talk:on_media("speech", 0, 60)
  self:pass(150):tell("speech_started", { turn = turn })
  for _ = 1, math.floor((ms or 1000) / 100) do
    self.on_audio(("\1\0"):rep(RATE / 10))
    self:pass(100)
  end
  for quiet = 200, 400, 200 do
    self:pass(200)
    self.talk:on_media("quiet", 0, quiet)
  end
  return self:pass(100):tell("speech_ended"):tell("user_text", { turn = turn, text = text, final = true })
end

--- The caller says that, which takes so long; then he is silent.
function world:says(text, ms)
  self.next_text = text
  ms = ms or math.max(400, #text * CHARACTER_MS)
  self:pass(60)
  self.talk:on_media("speech", 0, 0)
  for _ = 1, math.floor(ms / 100) do
    self.on_audio(("\1\0"):rep(RATE / 10))
    self:pass(100)
  end
  for quiet = 200, 800, 200 do
    self:pass(200)
    self.talk:on_media("quiet", 0, quiet)
  end
  return self
end

function world:keys(text)
  for digit in text:gmatch(".") do self.talk:on_digit(digit) end
  return self
end

--- Begins, and lets the greeting be heard.
function world:greeted()
  assert(self.talk:begin{})
  return self:pass(4000)
end

--- All that was spoken since the last call of it.
function world:spoken()
  local text = table.concat(self.said, " ")
  self.said = {}
  return text
end

--- The text of the transcript's newest line of that party.
function world:last(party)
  for i = #self.lines, 1, -1 do
    if self.lines[i].party == party then return self.lines[i] end
  end
end

return world
