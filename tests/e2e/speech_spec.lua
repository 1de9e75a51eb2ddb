-- SPDX-License-Identifier: Apache-2.0
--- Speech in and out against the fakes of the providers: run by test_speech.py, which says where they are.
local health = require "ai.health"
local recogniser = require "speech.recogniser"
local synthesiser = require "speech.synthesiser"
local task = require "core.task"
local wav = require "speech.wav"
local world = require "speech.world"
local ws = require "core.ws"

local SPEECH = assert(os.getenv "SPEECH_URL", "SPEECH_URL: the base of tests/fakes/speech")
local SECURE, CA = os.getenv "SPEECH_TLS_URL", os.getenv "SPEECH_CA"
local OPENAI = os.getenv "FAKES_URL"

local function fresh()
  local own = {}
  for name, value in pairs(world) do own[name] = value end
  own.health = health.new(own)
  return own
end

local function with(fault) return SPEECH .. (fault and "/_with/" .. fault or "") end

local function target(kind, fault, more)
  local made = { provider = kind .. (fault or ""), kind = kind, url = with(fault), model = "m", key = "k", owner = 0 }
  if kind == "openai" then made.url = OPENAI .. (fault and "/_with/" .. fault or "") .. "/openai/v1" end
  for name, value in pairs(more or {}) do made[name] = value end
  return made
end
local function tts(fault) return target("openai", fault, { model = "gpt-4o-mini-tts" }) end
local function stt(fault) return target("openai", fault, { model = "whisper-1" }) end

-- Speaks: { pcm, rate, marks, last = the event that ended it }.
local function speak(text, targets, options, own)
  local stream, said = synthesiser.say(own or fresh(), { text = text, rate = 8000 }, targets, options), { pieces = {}, marks = {} }
  for event in function() return stream:next() end do
    if event.type == "audio" then
      said.pieces[#said.pieces + 1], said.rate = event.pcm, event.rate
    elseif event.type == "mark" then
      said.marks[#said.marks + 1] = event
    else
      said.last = event
    end
  end
  said.pcm, said.provider = table.concat(said.pieces), stream.target and stream.target.provider
  return said
end

local SILENCE = ("\0\0"):rep(1600)  -- 200 ms

-- Feeds sound in pieces of 100 ms and says that the utterance is over: the final texts, all events, and who heard them.
local function hear(pcm, targets, options, rate)
  options = options or {}
  options.rate = rate or 8000
  local session, finals, events = recogniser.open(options.world or fresh(), options, targets), {}, {}
  local step = options.rate / 5
  for at = 1, #pcm, step do
    session:feed(pcm:sub(at, at + step - 1))
    task.sleep(1)
  end
  session:feed(SILENCE)
  session:finish()
  for event in function() return session:next() end do
    events[#events + 1] = event
    if event.type == "final" and event.text ~= "" then finals[#finals + 1] = event end
  end
  return finals, events, session.target and session.target.provider
end

local function text_of(finals)
  local list = {}
  for i, final in ipairs(finals) do list[i] = final.text end
  return table.concat(list, " ")
end

local SENTENCE = "Where is my order?"

describe("a synthesiser", function()
  it("of each provider speaks what a recogniser of each understands", function()
    local eleven = speak(SENTENCE, { target "elevenlabs" })
    assert.equal("end", eleven.last.type)
    assert.equal(8000, eleven.rate)
    assert.is_true(#eleven.pieces > 2)
    for _, recognises in ipairs{ target "deepgram", target "whisper", stt() } do
      local finals, events, who = hear(eleven.pcm, { recognises })
      assert.equal(SENTENCE, text_of(finals), who)
      assert.equal("end", events[#events].type)
      assert.equal(4, #finals[1].words, who)
      assert.equal("Where", finals[1].words[1].text)
    end
    for _, speaks in ipairs{ target "piper", tts() } do
      local said = speak(SENTENCE, { speaks })
      assert.equal("end", said.last.type)
      assert.equal(SENTENCE, text_of(hear(said.pcm, { target "whisper" }, nil, said.rate)), speaks.provider)
    end
  end)

  it("tells when each word is spoken", function()
    local said = speak("Your order is here.", { target "elevenlabs" })
    local texts, last = {}, 0
    for i, mark in ipairs(said.marks) do
      texts[i] = mark.text
      assert.is_true(mark.from_ms >= last and mark.to_ms > mark.from_ms)
      last = mark.from_ms
    end
    assert.same({ "Your", "order", "is", "here." }, texts)
    assert.is_true(last < said.last.ms)
  end)

  it("that fails before its first sound is followed by the next, whatever befell it", function()
    for _, fault in ipairs{ "status=401", "status=429,retry_after=3", "status=500", "status=503", "garbage=1", "stall=1", "cut=0" } do
      local said = speak(SENTENCE, { target("elevenlabs", fault), target("piper", fault), target("openai", nil, { url = "http://127.0.0.1:1/v1" }), tts() }, { first_ms = 400 })
      assert.equal("end", said.last.type, fault)
      assert.equal("openai", said.provider, fault)
    end
  end)

  it("that breaks off in the middle says so, and how much was given", function()
    local said = speak(SENTENCE, { target("elevenlabs", "cut=0.5"), target "piper" })
    assert.equal("error", said.last.type)
    assert.equal("network", said.last.class)
    assert.is_true(said.last.given_ms >= 400 and said.last.given_ms <= 600)
    assert.equal("error", speak(SENTENCE, { target("piper", "cut=0.5") }).last.type)
  end)

  it("that never ends is ended", function()
    local said = speak("Yes.", { target("elevenlabs", "endless=1") })
    assert.equal("error", said.last.type)
    assert.equal("protocol", said.last.class)
  end)

  it("is told by its failures what they are", function()
    for fault, class in pairs{ ["status=401"] = "auth", ["status=429"] = "rate", ["status=503"] = "overload", ["status=500"] = "server" } do
      for _, kind in ipairs{ "elevenlabs", "piper" } do
        local last = speak(SENTENCE, { target(kind, fault) }).last
        assert.equal(class, last.class, kind .. fault)
      end
    end
    assert.equal("quota", speak(SENTENCE, { target("elevenlabs", nil, { key = "broke" }) }).last.class)
    assert.equal("auth", speak(SENTENCE, { target("elevenlabs", nil, { key = "wrong" }) }).last.class)
    assert.equal("no_provider", speak(SENTENCE, {}).last.class)
  end)

  it("that keeps failing is not asked for a while", function()
    local own = fresh()
    for _ = 1, 5 do speak(SENTENCE, { target("elevenlabs", "status=500"), target "piper" }, nil, own) end
    assert.equal("open", own.health:figures(target("elevenlabs", "status=500")).state)
    assert.equal("piper", speak(SENTENCE, { target("elevenlabs", "status=500"), target "piper" }, nil, own).provider)
    assert.is_true(own.health:latency_ms(target "piper", 0.5) > 0)
  end)

  it("says nothing more once nobody wants it", function()
    local stream = synthesiser.say(fresh(), { text = SENTENCE:rep(20) }, { target("elevenlabs", "endless=1") })
    assert.equal("audio", stream:next().type)
    task.spawn(function()
      task.sleep(20)
      stream:cancel()
    end)
    local count = 0
    while stream:next() do
      count = count + 1
      task.sleep(1)
    end
    assert.is_nil(stream:next())
    assert.is_true(count < 500)
    local silent = synthesiser.say(fresh(), { text = SENTENCE }, { target("elevenlabs", "stall=1") })
    task.spawn(function()
      task.sleep(20)
      silent:cancel()
    end)
    assert.is_nil(silent:next())
  end)

  it("on this machine speaks sentence by sentence", function()
    local said = speak("Thank you for calling Acme Solar today. Please tell me what I can do for you.", { target "espeak" })
    assert.equal("end", said.last.type)
    assert.equal(2, #said.marks)
    assert.equal(said.marks[1].to_ms, said.marks[2].from_ms)
    assert.is_true(math.abs(said.marks[2].to_ms - said.last.ms) < 1)
  end)
end)

describe("a recogniser", function()
  local spoken
  setup(function() spoken = speak(SENTENCE, { target "elevenlabs" }).pcm end)

  it("that listens meanwhile tells what it hears before the end", function()
    local finals, events = hear(spoken, { target "deepgram" })
    local partials, began = 0, false
    for _, event in ipairs(events) do
      if event.type == "partial" then partials = partials + 1 end
      began = began or event.type == "speech_began"
    end
    assert.is_true(partials >= 1)
    assert.is_true(began)
    assert.equal(1, #finals)
    assert.is_true(math.abs(finals[1].confidence - 0.98) < 0.001)
  end)

  it("ends an utterance by itself after a silence, and goes on with the next", function()
    local pause = SILENCE:rep(3)
    local finals, events = hear(spoken .. pause .. spoken .. pause, { target "deepgram" }, { endpointing_ms = 400 })
    assert.equal(2, #finals)
    assert.equal(SENTENCE .. " " .. SENTENCE, text_of(finals))
    assert.is_true(finals[2].words[1].from_ms >= finals[1].words[4].to_ms)
    local ends = 0
    for _, event in ipairs(events) do ends = ends + (event.type == "utterance_end" and event.unasked and 1 or 0) end
    assert.equal(2, ends)
  end)

  it("that fails is followed by the next, which hears all that had no final text yet", function()
    for _, fault in ipairs{ "status=401", "status=429", "status=500", "stall=1", "cut=0.4", "halt=0.4", "garbage=1", "close=1011" } do
      for _, after in ipairs{ target "whisper", target "deepgram", stt() } do
        local finals, _, who = hear(spoken, { target("deepgram", fault), after }, { answer_ms = 500 })
        assert.equal(SENTENCE, text_of(finals), fault .. after.provider)
        assert.equal(after.provider, who, fault)
      end
    end
    for _, fault in ipairs{ "status=401", "status=429", "status=500", "stall=1", "cut=0.5", "halt=0.5", "garbage=1" } do
      local finals = hear(spoken, { target("whisper", fault), target("openai", nil, { url = "http://127.0.0.1:1/v1" }), target "deepgram" }, { whole_ms = 500 })
      assert.equal(SENTENCE, text_of(finals), fault)
    end
  end)

  it("is not waited for where nothing was said since the last final text", function()
    local session, count, ends = recogniser.open(fresh(), { rate = 8000 }, { target "deepgram" }), 0, 0
    session:feed(spoken .. SILENCE)
    for _ = 1, 3 do session:flush() end
    session:finish()
    for event in function() return session:next() end do
      assert.are_not.equal("error", event.type)
      if event.type == "final" then count = count + 1 end
      if event.type == "utterance_end" and not event.unasked then ends = ends + 1 end
    end
    assert.same({ 4, 4 }, { count, ends })
    local silent = recogniser.open(fresh(), { rate = 8000 }, { target("deepgram", "stall=1") })
    silent:finish()
    assert.equal("final", silent:next().type)
    silent:cancel()
  end)

  it("on this machine tells yes from no", function()
    local media = require "core.media"
    local expected = { expect = { kind = "yesno" }, whole_ms = 60000 }
    for text, start in pairs{ ["yes please"] = "yes", ["no thank you"] = "no" } do
      local said = speak(text, { target("espeak", nil, { url = "" }) })
      local pcm = media.wav(wav.file(said.pcm, said.rate)):pcm()
      local finals, events = hear(pcm, { target("sphinx", nil, { url = "" }) }, expected)
      assert.equal(start, finals[1] and finals[1].text:match("^%a+"), events[#events].text or text)
      assert.is_true(finals[1].words[1].to_ms <= #pcm / 16 + 300)
    end
  end)

  it("of which none is left says so", function()
    local _, events = hear(spoken, { target("deepgram", "status=503"), target("whisper", "status=401") })
    local last = events[#events]
    assert.equal("error", last.type)
    assert.equal("auth", last.class)
    assert.equal("overload", last.failures[1].class)
  end)

  it("hears one utterance after another in one session", function()
    for _, kind in ipairs{ "deepgram", "whisper" } do
      local session = recogniser.open(fresh(), { rate = 8000 }, { target(kind) })
      for turn = 1, 3 do
        session:feed(spoken .. SILENCE)
        session:flush()
        local final, event
        repeat
          event = session:next()
          if event.type == "final" then final = event end
        until event.type == "utterance_end"
        assert.equal(SENTENCE, final.text, kind .. turn)
        assert.is_true(final.words[1].from_ms >= (turn - 1) * (#spoken / 16 + 150), kind .. turn)
      end
      session:cancel()
      assert.is_nil(session:next())
    end
  end)

  it("is kept alive while nobody speaks", function()
    local adapter = require("plugins.speech_deepgram").recogniser
    local keepalive = adapter.keepalive
    adapter.keepalive = function() return (keepalive()), 300 end
    local session = recogniser.open(fresh(), { rate = 8000 }, { target("deepgram", "idle_s=1") })
    task.sleep(1600)
    session:feed(spoken .. SILENCE)
    session:finish()
    local finals = {}
    for event in function() return session:next() end do
      assert.are_not.equal("error", event.type)
      if event.type == "final" and event.text ~= "" then finals[#finals + 1] = event end
    end
    adapter.keepalive = keepalive
    assert.equal(SENTENCE, text_of(finals))
  end)

  it("that floods is not read further than is taken", function()
    local session = recogniser.open(fresh(), { rate = 8000 }, { target("deepgram", "endless=1") })
    task.sleep(300)
    assert.is_true(#session.events <= 1001)
    session:cancel()
    assert.is_nil(session:next())
  end)
end)

describe("core.ws", function()
  local LISTEN = "/v1/listen?model=nova-3&encoding=linear16&sample_rate=8000"
  local function open(fault, more)
    local asked = { url = with(fault):gsub("^http", "ws") .. LISTEN, headers = { Authorization = "Token k" } }
    for name, value in pairs(more or {}) do asked[name] = value end
    return ws.open(asked)
  end

  it("says with which status it was refused", function()
    local socket, err = open("status=429")
    assert.is_nil(socket)
    assert.equal(429, err.status)
    assert.equal("io", select(2, ws.open{ url = "ws://127.0.0.1:1/" }).code)
  end)

  it("sends no more than its queue takes, and tells when that is written", function()
    local socket = assert(open(nil, { queue_limit = 100000 }))
    local sent, err = 0, nil
    while sent < 100 and not err do
      local ok, why = socket:send(("\0"):rep(10000), true)
      if ok then sent = sent + 1 else err = why end
    end
    assert.equal(10, sent)
    assert.equal("limit", err.code)
    assert.equal(100000, socket:queued())
    assert.is_true(socket:drain())
    assert.equal(0, socket:queued())
    assert.is_true(socket:send('{"type":"CloseStream"}'))
    local text, binary = socket:next()
    assert.is_false(binary)
    while text do text, binary = socket:next() end
    assert.equal("closed", binary.code)
    assert.equal("closed", select(2, socket:send("x")).code)
  end)

  it("does not read on while its messages are not taken", function()
    local socket = assert(open("endless=1", { hold_limit = 50000 }))
    local before = collectgarbage "count"
    task.sleep(500)
    assert.is_true(collectgarbage "count" - before < 1000)
    for _ = 1, 50 do assert.is_truthy(socket:next()) end
    socket:drop()
    repeat until not socket:next()
  end)

  it("can be closed before it has opened", function()
    local socket, err = open(nil, { on_begin = function(begun) begun:close() end })
    assert.is_nil(socket)
    assert.equal("closed", err.code)
  end)

  it("trusts nobody over TLS but whom it is told to", function()
    local url = SECURE:gsub("^http", "ws") .. LISTEN
    assert.is_nil(ws.open{ url = url, headers = { Authorization = "Token k" } })
    local socket = assert(ws.open{ url = url, headers = { Authorization = "Token k" }, ca_file = CA })
    socket:close()
    repeat until not socket:next()
  end)
end)
