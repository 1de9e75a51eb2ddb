-- SPDX-License-Identifier: Apache-2.0
--- Conversations in one loop, for conversations_bench: their providers are played here and take as long as they are told to, so what a turn
--- takes beyond that is ours. Prints one line of JSON.
---   latency COUNT SECONDS   so many at once, each turn by turn until the time is over; one turn of three interrupts the answer before it
---   memory AT_ONCE COUNT... calls of one turn each, one behind the other; memory when all of a COUNT are over
local callers = require "callers"
local clock = require "core.clock"
local json = require "core.json"
local media = require "core.media"
local promise = require "lib.promise"
local talk = require "calls.talk"
local task = require "core.task"
local timer = require "core.timer"

local RATE = 8000
local FINAL_MS = 150           -- behind the caller's last sound
local MODEL_MS, VOICE_MS = 250, 100
local ENDPOINT_MS, EAGER_MS = 350, 200  -- voice.ending and voice.turns: of a sentence with its mark; a model is asked before
local EXPECTED_MS = math.max(ENDPOINT_MS, EAGER_MS + MODEL_MS) + VOICE_MS
local SPEECH_MS, SHORT_MS = 1200, 600
local CHARACTER_MS, CHUNK_MS, CHUNK_EACH_MS = 60, 200, 40
local ANSWER = "We are open until six today. On Saturdays we close at noon, and on Sundays we are not here."
local QUESTIONS = { "When do you open?", "How much does a roof cost?", "What about Tuesday?" }
local RAMP_MS, AFTER_MS = 4000, 2000
local SOUND = ("\0\16\0\240"):rep(RATE * CHUNK_MS / 1000 / 2)

-- -- the providers ------------------------------------------------------------------------------------------------------------

-- A synthesiser: its first sound after VOICE_MS, then faster than it is heard.
local function voice(text)
  local left, first, stream = math.ceil(#text * CHARACTER_MS / CHUNK_MS), true, {}
  function stream.next()
    task.sleep(first and VOICE_MS or CHUNK_EACH_MS)
    first = false
    if stream.cancelled or left < 0 then return nil end
    left = left - 1
    if left < 0 then return { type = "end" } end
    return { type = "audio", pcm = SOUND, rate = RATE }
  end
  function stream.cancel() stream.cancelled = true end
  return stream
end

-- A recogniser that listens all the time, and is told what it hears.
local function recogniser()
  local session = { events = {} }
  function session.give(event)
    session.events[#session.events + 1] = event
    if session.waiting then session.waiting:give() end
  end
  function session.feed() end
  function session.flush() end
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
  return session
end

local function chat(_, _, given)
  task.sleep(MODEL_MS)
  if given.cancel:given() then return nil, { class = "cancelled", text = "nobody wants it" } end
  given.on_event{ type = "text", text = ANSWER }
  return { text = ANSWER, tool_calls = {}, reason = "end" }
end

-- -- a call -------------------------------------------------------------------------------------------------------------------

local TENANT = { id = 1, slug = "acme", name = "Acme" }
local last_id = 0

-- @param found function(line) of the transcript
local function begin(found)
  local self = { caller = callers.open(), over = promise.new() }
  last_id = last_id + 1
  local call = { id = "c" .. last_id, tenant = TENANT, from = "+12025550123", direction = "inbound", next_play = 0, verbs = {} }
  call.leg = assert(media.leg("n1.1", { id = call.id, channel = call.id, on_media = function(...)
    if call.talk then call.talk:on_media(...) end
  end }))
  local started = clock.mono_ms()
  call.talk = talk.new{
    call = call, key = call.id, args = { expect = "open", language = "en", limit = { turns = 1000, seconds = 3600 }, tools = {} },
    world = {
      now = clock.mono_ms, after = timer.after, say = voice, is_live = function() return true end, has_model = function() return true end, chat = chat,
      answer = function() end, headings = {}, keep = function() end, transcript = function(line) found(line, started) end,
      open_ears = function()
        self.session = recogniser()
        return self.session
      end,
      over = function() self.over:give() end,
    },
  }
  self.call = call
  assert(call.talk:begin{})
  return self
end

-- Says it; returns when the recogniser has told of it.
local function says(self, text, ms)
  callers.speak(self.caller, ms)
  task.sleep(ms + FINAL_MS)
  self.session.give{ type = "final", text = text }
end

local function hang_up(self)
  self.call.talk:close()
  self.call.talk = nil
  self.call.leg:close()
  callers.close(self.caller)
end

-- -- what is measured ---------------------------------------------------------------------------------------------------------

local function summary(values)
  table.sort(values)
  local function at(share) return values[math.min(#values, math.floor(#values * share) + 1)] end
  return { n = #values, p50 = at(0.5), p99 = at(0.99), max = values[#values] }
end

local function lua_kb()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count")
end

local figures, noting = {}, true
local function note(name, value)
  if not value or not noting then return end
  figures[name] = figures[name] or {}
  table.insert(figures[name], value)
end

-- The stages of a turn without what the providers take and what was chosen to wait.
local function note_line(line)
  local t = line.timeline
  if line.party ~= "agent" or not t then return end
  note("own_ms", t.own_ms)
  note("chunk_ms", t.chunk_ms)
  note("voice_ms", t.voice_ms and t.voice_ms - VOICE_MS)
  note("send_ms", t.send_ms)
  note("decision_ms", t.barge_in_decision_ms)
  note("stop_ms", t.barge_in_stop_ms)
  note("silence_ms", t.barge_in_ms)
end

local function converse_until(stop_at)
  local self = begin(note_line)
  task.sleep(1500 + math.random(2000))  -- the greeting
  local n = math.random(3)
  while clock.mono_ms() < stop_at do
    n = n + 1
    local interrupts = n % 3 == 0
    says(self, QUESTIONS[n % 3 + 1], interrupts and SHORT_MS or SPEECH_MS)
    task.sleep(1500)
    local silence, gap = callers.heard(self.caller)
    if interrupts then note("wire_silence_ms", silence) end
    note("wire_own_ms", gap and gap - EXPECTED_MS)
    if not gap then note("unanswered", 1) end
    note("buffer_ms", self.call.leg:stats().delay_ms - 20)
    -- The next one interrupts, or waits until all was said.
    task.sleep((n + 1) % 3 == 0 and math.random(500) or 4500 + math.random(1500))
  end
  hang_up(self)
end

local function latency(count, seconds)
  count, seconds = tonumber(count), tonumber(seconds)
  local lua_before, before = lua_kb(), callers.memory()
  local stop_at = clock.mono_ms() + RAMP_MS + seconds * 1000 + AFTER_MS
  local left, all_over = count, promise.new()
  for _ = 1, count do
    task.spawn(function()
      task.sleep(math.random(RAMP_MS))
      converse_until(stop_at)
      left = left - 1
      if left == 0 then all_over:give() end
    end)
  end
  local late = {}
  task.spawn(function()
    while noting do
      local at = clock.mono_ms()
      task.sleep(10)
      late[#late + 1] = clock.mono_ms() - at - 10
    end
  end)
  task.sleep(RAMP_MS)
  local cpu, at = os.clock(), clock.mono_ms()
  task.sleep(seconds * 1000)
  local busy = (os.clock() - cpu) * 1000 / (clock.mono_ms() - at)
  noting = false  -- collecting all garbage is no part of a call
  local up = callers.memory()
  local lua_up = lua_kb()
  all_over:wait()
  local out = { count = count, cpu_percent = busy * 100, kb = (up - before) / count, lua_kb = (lua_up - lua_before) / count, loop_late_ms = summary(late),
    unanswered = #(figures.unanswered or {}) }
  figures.unanswered = nil
  for name, values in pairs(figures) do out[name] = summary(values) end
  print(json.encode(out))
end

local function one_call()
  local self = begin(function() end)
  task.sleep(400)
  says(self, "When do you open?", 400)
  task.sleep(1000)
  hang_up(self)
end

local function memory(at_once, ...)
  local rows, done = json.array{}, 0
  for _, count in ipairs{ ... } do
    local running, over = 0, promise.new()
    local function work()
      while done < tonumber(count) do
        done = done + 1
        one_call()
      end
      running = running - 1
      if running == 0 then over:give() end
    end
    local workers = math.min(tonumber(at_once), tonumber(count) - done)
    running = workers
    for _ = 1, workers do task.spawn(work) end
    over:wait()
    task.sleep(1500)  -- the media thread lets go, and what was cancelled has ended
    local lua, process, heap = lua_kb(), callers.memory()
    rows[#rows + 1] = { calls = done, lua_kb = lua, heap_kb = heap, process_kb = process }
  end
  print(json.encode(rows))
end

local what = ...
math.randomseed(1)
if what == "latency" then latency(select(2, ...)) else memory(select(2, ...)) end
return 0
