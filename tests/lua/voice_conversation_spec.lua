-- SPDX-License-Identifier: Apache-2.0
--- The parts of voice together, with an engine as small as can be: a caller is answered, interrupts, and the history has what was heard.
local chunks = require "voice.chunks"
local heard = require "voice.heard"
local timeline = require "voice.timeline"
local turns = require "voice.turns"

local TOKEN_MS, FIRST_MS, VOICE_MS, CHARACTER_MS = 20, 300, 100, 60

-- An engine: a model that says the next of its answers word by word, a synthesiser of 60 ms a character, a leg that plays one behind the other.
local function engine(answers)
  local self = { now = 0, events = {}, history = {}, lines = {}, asked = 0, replies = {}, answer = 0 }
  self.machine = turns.new({ language = "en" }, 0)

  local function at(ms, run)
    local i = #self.events
    while i > 0 and self.events[i].at > ms do i = i - 1 end
    table.insert(self.events, i + 1, { at = ms, run = run })
  end
  self.at = at

  local act = {}
  local function tell(event)
    for _, action in ipairs(self.machine:take(event, self.now)) do
      local run = act[action.act]
      if run then run(action) end
    end
  end
  self.tell = tell

  -- Told when the last piece has been handed over, not when the model has said its last word.
  local function replied(reply)
    local piece = reply.pieces[reply.playing]
    if reply.over and reply.playing >= #reply.pieces and (not piece or piece.began) then tell{ kind = "replied", reply = reply.id } end
  end

  local function play_next(reply)
    local piece = reply.pieces[reply.playing]
    if not piece or not piece.whole or reply.stopped or piece.began then return end
    piece.began = self.now
    if reply.line then reply.line:mark("first_packet", self.now) end
    tell{ kind = "play", reply = reply.id, id = piece.id, ms = piece.ms }
    replied(reply)
    local began = self.now
    at(self.now + piece.ms, function()
      if reply.stopped or reply.gone or piece.began ~= began then return end
      piece.played = true
      reply.playing = reply.playing + 1
      tell{ kind = "played", id = piece.id }
      if not reply.gone and reply.playing > #reply.pieces and reply.over then self.history[#self.history + 1] = "us: " .. heard.of(reply.pieces) end
      play_next(reply)
    end)
  end

  local function speak(reply, list)
    for _, text in ipairs(list) do
      if reply.line then reply.line:mark("voice_asked", self.now) end
      local piece = { text = text, ms = #text * CHARACTER_MS, id = reply.id * 100 + #reply.pieces + 1 }
      reply.pieces[#reply.pieces + 1] = piece
      at(self.now + VOICE_MS, function()
        if reply.gone then return end
        if reply.line then reply.line:mark("first_audio", self.now) end
        piece.whole = true
        play_next(reply)
      end)
    end
  end

  local function begin(id, line)
    local reply = { id = id, pieces = {}, playing = 1, line = line, chunks = chunks.new() }
    self.replies[id] = reply
    self.answer = self.answer + 1
    local when = self.now + FIRST_MS
    for word in answers[self.answer]:gmatch("%S+%s*") do
      at(when, function()
        if reply.gone then return end
        if line then line:mark("first_token", self.now) end
        speak(reply, reply.chunks:feed(word))
      end)
      when = when + TOKEN_MS
    end
    at(when, function()
      if reply.gone then return end
      speak(reply, reply.chunks:finish())
      reply.over = true
      replied(reply)
    end)
  end

  function act.commit(a)
    self.history[#self.history + 1] = "caller: " .. a.text
    local line = timeline.new(a.turn)
    self.lines[#self.lines + 1] = line
    line:mark("ended", a.ended)
    line:mark("committed", self.now)
    line:mark("model_asked", self.now)
    line:chose(a.waited)
    begin(a.reply, line)
  end
  function act.take_back(a)
    self.replies[a.reply].gone = true
    table.remove(self.history)
    self.answer = self.answer - 1
  end
  function act.stop(a)
    local reply = self.replies[a.reply]
    if reply.stopped then return end
    reply.stopped = true
    local piece = reply.pieces[reply.playing]
    if piece then piece.played = piece.began and self.now - piece.began end
  end
  act.hush = act.stop
  function act.drop(a)
    local reply = self.replies[a.reply]
    reply.gone = true
    self.history[#self.history + 1] = "us: " .. (heard.for_history(heard.of(reply.pieces)) or "nothing")
  end
  function act.resume(a)
    local reply = self.replies[a.reply]
    local piece = reply.pieces[reply.playing]
    local from = heard.resume_ms(piece)
    reply.stopped, self.resumed_ms = nil, from
    -- The rest of the piece is a piece of its own.
    piece.ms, piece.began, piece.id = piece.ms - from, nil, piece.id + 50
    play_next(reply)
  end
  function act.go(a) self.gone = a.how end

  function self.run(until_ms)
    while true do
      local due = self.machine:due() or math.huge
      local event = self.events[1]
      local when = math.min(due, event and event.at or math.huge)
      if when > until_ms then break end
      self.now = math.max(self.now, when)
      if event and event.at <= due then
        table.remove(self.events, 1)
        event.run()
      else
        tell{ kind = "tick" }
      end
    end
    self.now = until_ms
  end

  --- The caller says that, from then on, for that long.
  function self.caller(from, ms, text)
    at(from + 60, function() tell{ kind = "speech", ms = 60 } end)
    if text then at(from + ms - 50, function() tell{ kind = "partial", text = text } end) end
    at(from + ms + 200, function() tell{ kind = "quiet", ms = 200 } end)
    if text then at(from + ms + 150, function() tell{ kind = "final", text = text } end) end
  end
  return self
end

describe("a conversation", function()
  it("is heard, answered sentence by sentence, and timed", function()
    local call = engine{ "We open at nine. On Sundays we are closed, but you can always send us a letter." }
    call.caller(500, 1500, "When do you open?")
    call.run(20000)
    assert.same({ "caller: When do you open?", "us: We open at nine. On Sundays we are closed, but you can always send us a letter." }, { call.history[1], call.history[2] })
    local report = call.lines[1]:report()
    -- 350 of chosen silence, 300 until the model's first word, 60 for the other three of the first sentence, 100 of the voice.
    assert.same({ 350, 300, 100, 60, 0 }, { report.endpoint_ms, report.model_ms, report.voice_ms, report.chunk_ms, report.send_ms })
    assert.equal(60, report.own_ms)
  end)

  it("keeps of an interrupted answer what was heard", function()
    local call = engine{ "We open at nine in the morning and close at six in the evening from Monday to Friday.", "Yes, on Saturdays too." }
    call.caller(500, 1500, "When do you open?")
    call.caller(4500, 900, "and on Saturdays?")
    call.run(20000)
    assert.equal("caller: When do you open?", call.history[1])
    assert.is_truthy(call.history[2]:find("^us: We open at nine in .* \226\128\166$"), call.history[2])
    assert.is_falsy(call.history[2]:find("Friday"))
    assert.same({ "caller: and on Saturdays?", "us: Yes, on Saturdays too." }, { call.history[3], call.history[4] })
  end)

  it("joins both parts of a turn that was taken to be over", function()
    local call = engine{ "Which day suits you?" }
    call.caller(500, 1000, "I want to book.")
    call.caller(2300, 1000, "But only on Saturday.")
    call.run(12000)
    assert.same({ "caller: I want to book. But only on Saturday.", "us: Which day suits you?" }, { call.history[1], call.history[2] })
  end)

  it("goes on behind the last word after a false alarm, and says all of it", function()
    local text = "We open at nine in the morning and close at six in the evening from Monday to Friday."
    local call = engine{ text }
    call.caller(500, 1500, "When do you open?")
    call.caller(4500, 1000)
    call.run(20000)
    assert.is_true(call.resumed_ms > 0)
    assert.equal("us: " .. text, call.history[2])
    assert.is_nil(call.history[3])
  end)

  it("goes on after a mm-hm, and says all of it", function()
    local text = "We open at nine in the morning and close at six in the evening from Monday to Friday."
    local call = engine{ text }
    call.caller(500, 1500, "When do you open?")
    call.caller(4500, 400, "mm-hm")
    call.run(20000)
    assert.is_true(call.resumed_ms > 0)
    assert.equal("us: " .. text, call.history[2])
  end)

  it("is left when the last sentence was heard", function()
    local call = engine{ "Goodbye, and thank you for calling us today." }
    call.caller(500, 1500, "That is all.")
    call.at(2500, function() call.tell{ kind = "leave", how = "hangup" } end)
    call.run(3500)
    assert.is_nil(call.gone)
    call.run(20000)
    assert.equal("hangup", call.gone)
    assert.equal("us: Goodbye, and thank you for calling us today.", call.history[2])
  end)
end)
