-- SPDX-License-Identifier: Apache-2.0
--- What is said to a caller, by synthesisers that are played here.
require "stand_in"
local json = require "core.json"
local health = require "ai.health"
local programs = require "speech.programs"
local recogniser = require "speech.recogniser"
local speech_in_host, speech = pcall(require, "speech")
local synthesiser = require "speech.synthesiser"
local task = require "core.task"
local timer = require "core.timer"
local wav = require "speech.wav"
local whole = require "speech.whole"

local function wait_for(what)
  for _ = 1, 1000 do
    if what() then return end
    task.sleep(2)
  end
end

describe("the programs of this machine", function()
  -- One tenant's texts took all programs, and everybody else's callers waited.
  it("of one tenant do not keep another's waiting", function()
    local running, most, waiting, done = 0, 0, {}, 0
    local world = { run = function()
      running = running + 1
      most = math.max(most, running)
      task.wait(function(resume) waiting[#waiting + 1] = resume end)
      running = running - 1
      return nil, { code = "failed", text = "no voice" }
    end }
    local function run(tenant)
      task.spawn(function()
        local _, err = programs.world(world, tenant, "synthesise").run{}
        assert.equal("failed", err.code)
        done = done + 1
      end)
    end
    for _ = 1, 6 do run{ id = 1 } end
    wait_for(function() return running == 2 end)
    task.sleep(20)
    assert.equal(2, running)
    run{ id = 2 }
    wait_for(function() return running == 3 end)
    wait_for(function()
      if waiting[1] then table.remove(waiting, 1)() end
      return done == 7
    end)
    assert.equal(7, done)
    assert.equal(3, most)
  end)

  -- Texts that were interrupted and utterances of callers who had gone took a turn each, and live callers heard silence behind them.
  it("are not waited for longer than they may take, nor run for who is gone", function()
    local waiting, ran = {}, {}
    local world = programs.world({ run = function(asked)
      ran[#ran + 1] = asked.name
      task.wait(function(resume) waiting[#waiting + 1] = resume end)
      return { status = 0 }
    end }, { id = 3 }, "synthesise")
    local ended, codes = 0, {}
    local function run(asked)
      task.spawn(function()
        local _, err = world.run(asked)
        ended, codes[asked.name] = ended + 1, err and err.code
      end)
    end
    run{ name = "a", timeout_s = 9 }
    run{ name = "b", timeout_s = 9 }
    run{ name = "late", timeout_s = 0.02 }
    run{ name = "gone", timeout_s = 9, unless = function() return true end }
    run{ name = "live", timeout_s = 9, unless = function() return false end }
    wait_for(function() return codes.late end)
    assert.same({ "timeout", { "a", "b" } }, { codes.late, ran })
    waiting[1]()
    wait_for(function() return #ran == 3 end)
    assert.same({ "cancelled", { "a", "b", "live" } }, { codes.gone, ran })
    waiting[2]()
    waiting[3]()
    wait_for(function() return ended == 5 end)
    assert.is_nil(codes.live)
  end)

  it("go on after one that broke", function()
    local world = programs.world({ run = function() error("broken") end }, { id = 9 }, "recognise")
    for _ = 1, 5 do assert.is_false((pcall(world.run, {}))) end
  end)
end)

local PCM = ("\1\0\2\0"):rep(4000)  -- 1 s at 8 kHz

-- A world whose servers answer as { pieces, broken, status }, by their names; "program" is that of espeak-ng.
local function world_of(answers)
  local world = { asked = {}, voices = {}, after = timer.after, random = function() return 0.5 end, mono_ms = require("core.clock").mono_ms }
  world.health = health.new(world)
  function world.stream(asked)
    local name = asked.url:match("^http://(%w+)")
    world.asked[#world.asked + 1] = name
    local answer, n = answers[name], 0
    local stream = { status = answer.status or 200, headers = {}, cancel = function() end }
    function stream.next()
      n = n + 1
      if answer.pieces and answer.pieces[n] then return false, answer.pieces[n] end
      return nil, answer.broken
    end
    if asked.on_begin then asked.on_begin(stream) end
    return stream
  end
  function world.run(asked)
    world.asked[#world.asked + 1], world.voices[#world.voices + 1] = "program", asked.argv[4]
    if answers.program == "away" then return nil, { code = "io", text = "no such program" } end
    if asked.argv[4]:find("^nobody") then return { status = 1, output = "", errors = "Error: The specified espeak-ng voice does not exist.\n" } end
    return { status = 0, errors = "", output = wav.file(PCM, 8000) }
  end
  return world
end

local function piper(name) return { provider = name, kind = "piper", model = "m", url = "http://" .. name, owner = 0, flags = {} } end
local PROGRAM = { provider = "local", kind = "espeak", model = "espeak-ng", url = "", owner = 0, program = true, flags = { voice = "en-us" } }
local LAST = { provider = "local", kind = "espeak", model = "espeak-ng", url = "", owner = 0, program = true, last = true, flags = { voice = "en-us" } }

describe("a text that is said whole", function()
  it("is spoken by the next from its beginning where one broke off in its midst", function()
    local sound = wav.file(PCM, 8000)
    local world = world_of{ a = { pieces = { sound:sub(1, 3000) }, broken = { code = "io", text = "reset" } }, b = { pieces = { sound } } }
    local rendering = whole.once(world, { text = "Hello." }, { piper "a", piper "b" })
    assert.equal(PCM, rendering.pcm)
    assert.same({ "a", "b" }, world.asked)
  end)

  -- Five voices that a script had made up opened the breaker of the one that speaks when all others are away.
  it("is spoken by the program whatever befell it before, and in its own voice where it has not the one that was asked for", function()
    local world = world_of{ a = { status = 503 } }
    for n = 1, 12 do
      assert.truthy(whole.once(world, { text = "Hello " .. n, voice = "nobody" }, { piper "a", PROGRAM, LAST }), n)
    end
    assert.equal("en-us", world.voices[#world.voices])
    local none, err = whole.once(world, { text = "Hello", voice = "nobody" }, { piper "a", PROGRAM })
    assert.is_nil(none)
    assert.equal("not_found", err.class)
  end)

  it("is none only where the program itself is away", function()
    local world = world_of{ a = { status = 500 }, program = "away" }
    local none, err = whole.once(world, { text = "Hello." }, { piper "a", PROGRAM, LAST })
    assert.is_nil(none)
    assert.equal("network", err.class)
  end)

  -- A language is no voice of theirs: each such prompt was refused by ElevenLabs first, and the caller waited.
  it("in a voice that is a language is that language elsewhere", function()
    local plugin = require("plugins.speech_piper").synthesiser
    local request, said = plugin.request, {}
    plugin.request = function(say, target)
      said[#said + 1] = { say.voice, say.language }
      return request(say, target)
    end
    local world = world_of{ a = { pieces = { wav.file(PCM, 8000) } } }
    whole.once(world, { text = "Guten Tag.", voice = "de" }, { piper "a" })
    whole.once(world, { text = "Hello.", voice = "amy", language = "en" }, { piper "a" })
    plugin.request = request
    assert.same({ { nil, "de" }, { "amy", "en" } }, { { said[1][1], said[1][2] }, said[2] })
  end)
end)

-- An account that takes so long to be asked and notes what is billed: units, or false.
local function account_of(ms)
  local own = { billed = {} }
  function own.begin()
    if ms then task.sleep(ms) end
    return { done = function(_, units) own.billed[#own.billed + 1] = units or false end, drop = function() end }
  end
  return own
end

-- A world whose server cannot be connected to: it fails as said or, without a code, when it is cancelled.
local function unreachable(code, stage)
  local world = world_of{}
  function world.stream(asked)
    world.asked[#world.asked + 1] = asked.url
    local leave
    asked.on_begin{ cancel = function() if leave then leave() end end }
    if not code then task.wait(function(resume) leave = resume end) end
    return nil, { code = code or "cancelled", stage = stage, text = "not reached" }
  end
  return world
end

local function hear(world, own)
  local session = recogniser.open(world, { rate = 8000, account = own }, { { provider = "a", kind = "whisper", model = "m", url = "http://a", owner = 0 } })
  session:feed(PCM)
  session:finish()
  return session
end

local function say(world, own)
  local stream = synthesiser.say(world, { text = "Hello." }, { piper "a" }, { account = own })
  task.spawn(function() while stream:next() do end end)
  return stream
end

-- The test was whether a request had been begun, which it is before there is a connection.
describe("what was never sent is not billed", function()
  for _, of in ipairs{ { "a text", say }, { "an utterance", hear } } do
    local what, ask = of[1], of[2]
    it(what .. " that found no connection", function()
      local own = account_of()
      ask(unreachable("timeout", "connect"), own)
      wait_for(function() return own.billed[1] ~= nil end)
      assert.same({ false }, own.billed)
    end)

    it(what .. " that was taken back before there was one", function()
      local own, world = account_of(), unreachable(nil, "connect")
      local asked = ask(world, own)
      wait_for(function() return world.asked[1] end)
      asked:cancel()
      wait_for(function() return own.billed[1] ~= nil end)
      assert.same({ false }, own.billed)
    end)

    it("and " .. what .. " that was sent and left alone is", function()
      for _, code in ipairs{ "timeout", false } do
        local own, world = account_of(), unreachable(code or nil, "head")
        local asked = ask(world, own)
        wait_for(function() return world.asked[1] end)
        if not code then asked:cancel() end
        wait_for(function() return own.billed[1] ~= nil end)
        assert.is_table(own.billed[1], code)
      end
    end)
  end

  -- The request went out, and was paid for, when there was nobody left to hear what it says.
  it("an utterance whose caller goes while its budget is asked", function()
    local own, world = account_of(20), world_of{ a = { pieces = { '{"text":" yes","segments":[]}' } } }
    local session = hear(world, own)
    task.sleep(5)
    session:cancel()
    wait_for(function() return own.billed[1] ~= nil end)
    assert.same({ {}, { false } }, { world.asked, own.billed })
  end)
end)

describe("a provider", function()
  local SOUND = wav.file(PCM, 8000)
  local world, answers, ms
  local function speak(options)
    world.asked = {}
    local stream, last = synthesiser.say(world, { text = "Hello." }, { world.a, world.b, PROGRAM }, options)
    for event in function() return stream:next() end do last = event end
    return last, table.concat(world.asked, " ")
  end

  before_each(function()
    answers, ms = { a = { pieces = { SOUND } }, b = { pieces = { SOUND } } }, 0
    world = world_of(answers)
    world.a, world.b, world.mono_ms = piper "a", piper "b", function() return ms end
    world.health = health.new(world)
    local stream_of = world.stream
    function world.stream(asked)
      world.limits = asked
      local stream = stream_of(asked)
      if not answers[asked.url:match("^http://(%w+)")].silent then return stream end
      local left
      function stream.cancel() if left then left() end end
      if asked.on_begin then asked.on_begin(stream) end
      task.wait(function(resume) left = resume end)
      return nil, { code = "cancelled", text = "cancelled" }
    end
  end)

  -- It was asked first for each sentence and each utterance until its breaker opened, and the caller heard nothing for seconds five times.
  it("that has kept somebody waiting comes behind the others for a while", function()
    answers.a = { silent = true }
    local last, asked = speak{ first_ms = 20 }
    assert.same({ "end", "a b" }, { last.type, asked })
    last, asked = speak{ first_ms = 20 }
    assert.same({ "end", "b" }, { last.type, asked })
    answers.b = { status = 503 }
    assert.equal("b program", select(2, speak{ first_ms = 20 }))
    answers.a, answers.b, ms = { pieces = { SOUND } }, { pieces = { SOUND } }, 30001
    assert.equal("a", select(2, speak{ first_ms = 20 }))
  end)

  it("that broke off, too: the rest of the sentence was asked of it again", function()
    answers.a = { pieces = { SOUND:sub(1, 4000) }, broken = { code = "io", text = "reset" } }
    local last, asked = speak()
    assert.same({ "error", "a" }, { last.type, asked })
    assert.equal("b", select(2, speak()))
  end)

  it("that refuses at once keeps its place", function()
    answers.a = { status = 500 }
    for _ = 1, 3 do assert.equal("a b", select(2, speak())) end
  end)

  it("is waited for no longer than a caller is, one that renders all before it sends any a little longer", function()
    speak()
    local whole_ms = world.limits.first_byte_ms
    world.a = { provider = "a", kind = "openai", model = "m", url = "http://a/v1", owner = 0, key = "k", flags = {} }
    speak()
    assert.same({ 2500 + 6 * 20, 2500 }, { whole_ms, world.limits.first_byte_ms })
    answers.a = { pieces = { '{"text":" yes","segments":[]}' } }
    local session = recogniser.open(world, { rate = 8000 }, { { provider = "a", kind = "whisper", model = "m", url = "http://a", owner = 0 } })
    session:feed(PCM)
    session:finish()
    while session:next() do end
    assert.equal(2100, world.limits.timeout_ms)
  end)
end)

describe("an utterance", function()
  -- It is looked through for what must not be kept: some MiB of it took seconds in which the worker stood still.
  it("of which more is told than anybody says is another's to hear", function()
    local long = ("1 "):rep(40000)
    local world = world_of{ a = { pieces = { json.encode{ text = long, segments = json.array{} } } }, b = { pieces = { '{"text":" yes","segments":[]}' } } }
    local function target(provider) return { provider = provider, kind = "whisper", model = "m", url = "http://" .. provider, owner = 0 } end
    local session, final = recogniser.open(world, { rate = 8000 }, { target "a", target "b" }), nil
    session:feed(PCM)
    session:finish()
    for event in function() return session:next() end do final = event.type == "final" and event or final end
    assert.same({ "yes", "b" }, { final.text, session.target.provider })
  end)

  -- A minute of silence was transcribed, and paid for, when one that had listened broke off.
  it("is heard without the silence before it, and its words keep their times", function()
    local world, bytes = world_of{ a = { pieces = { '{"text":" yes","segments":[{"words":[{"word":" yes","start":0.5,"end":1.0}]}]}' } } }, nil
    local stream_of = world.stream
    function world.stream(asked)
      bytes = #asked.body
      return stream_of(asked)
    end
    local session, final = recogniser.open(world, { rate = 8000 }, { { provider = "a", kind = "whisper", model = "m", url = "http://a", owner = 0 } }), nil
    session:feed(("\0\0"):rep(8000 * 5) .. ("\0\16"):rep(8000))
    session:finish()
    for event in function() return session:next() end do final = event.type == "final" and event or final end
    assert.is_true(bytes >= 16000 * 1.5 and bytes < 16000 * 1.6)
    assert.equal(5000, final.words[1].from_ms)
  end)
end)

describe("a recogniser that listens meanwhile", function()
  -- @param on_finalize function  tells what it says to Finalize: list of messages
  local function session_of(on_finalize, answer_ms)
    local inbox, waiting, gone = { '{"type":"SpeechStarted","timestamp":0.1}' }, nil, false
    local function wake()
      local resume = waiting
      waiting = nil
      if resume then resume() end
    end
    local world = world_of{ b = { pieces = { '{"text":" yes","segments":[]}' } } }
    world.every = timer.every
    function world.open_ws()
      return {
        send = function(_, data)
          if data:find("Finalize", 1, true) then
            for _, message in ipairs(on_finalize()) do inbox[#inbox + 1] = message end
            wake()
          end
          return true
        end,
        drop = function()
          gone = true
          wake()
        end,
        next = function()
          while not inbox[1] and not gone do task.wait(function(resume) waiting = resume end) end
          if gone then return nil, { code = "closed", text = "closed" } end
          return table.remove(inbox, 1), false
        end,
      }
    end
    local function target(provider, kind) return { provider = provider, kind = kind, model = "m", url = "http://" .. provider, owner = 0, key = "k" } end
    return recogniser.open(world, { rate = 8000, answer_ms = answer_ms or 30 }, { target("a", "deepgram"), target("b", "whisper") })
  end

  local function final_of(session)
    task.sleep(5)
    session:feed(PCM)
    session:flush()
    for event in function() return session:next() end do
      if event.type == "final" then return event.text, session.target.provider end
    end
  end

  -- It was taken for one that had heard nothing, and what the caller said was lost.
  it("and has fallen silent is followed by the next, which hears what it was asked last", function()
    local session = session_of(function() return {} end)
    assert.same({ "yes", "b" }, { final_of(session) })
    session:cancel()
  end)

  it("and is there, but has nothing to say to a noise, is kept", function()
    local session = session_of(function()
      return { '{"type":"Results","is_final":false,"start":0,"duration":1,"channel":{"alternatives":[{"transcript":"","words":[]}]}}' }
    end)
    assert.same({ "", "a" }, { final_of(session) })
    session:cancel()
  end)

  it("and tells more than anybody says is followed by the next", function()
    local session = session_of(function()
      return { json.encode{ type = "Results", is_final = true, from_finalize = true, start = 0, duration = 1, channel = { alternatives = { { transcript = ("1 "):rep(40000) } } } } }
    end)
    assert.same({ "yes", "b" }, { final_of(session) })
    session:cancel()
  end)

  -- The second noise was taken for a silence since the first, and who was there for broken.
  it("and is there is kept, though another noise ends before it could answer that", function()
    local asked = 0
    local session = session_of(function()
      asked = asked + 1
      return asked == 1 and { '{"type":"Results","is_final":false,"start":0,"duration":1,"channel":{"alternatives":[{"transcript":"","words":[]}]}}' } or {}
    end, 300)
    task.spawn(function()
      task.sleep(200)
      session:feed(PCM)
      session:flush()
    end)
    assert.same({ "", "a" }, { final_of(session) })
    session:cancel()
  end)
end)

describe("the stages of speech", function()
  local metrics = require "core.metrics"
  local observe, seen
  before_each(function()
    observe, seen = metrics.observe, {}
    metrics.observe = function(name, labels, value)
      if name == "speech_stage_seconds" then seen[#seen + 1] = { labels.provider, labels.stage, value } end
    end
  end)
  after_each(function() metrics.observe = observe end)

  it("are told by provider: the first sound of a text, once", function()
    local world = world_of{ a = { pieces = { wav.file(PCM, 8000):sub(1, 4000), wav.file(PCM, 8000):sub(4001) } } }
    whole.once(world, { text = "Hello." }, { piper "a", PROGRAM })
    whole.once(world_of{ a = { status = 500 } }, { text = "Hello." }, { piper "a", PROGRAM })
    assert.same({ "a", "first_audio" }, { seen[1][1], seen[1][2] })
    assert.same({ "local", "first_audio" }, { seen[2][1], seen[2][2] })
    assert.equal(2, #seen)
  end)

  it("are told by provider: the final text of an utterance, from its end", function()
    local world = world_of{ a = { pieces = { '{"text":" yes","segments":[]}' } } }
    local session = recogniser.open(world, { rate = 8000 }, { { provider = "a", kind = "whisper", model = "m", url = "http://a", owner = 0 } })
    session:feed(PCM)
    session:finish()
    for event in function() return session:next() end do assert.are_not.equal("error", event.type) end
    assert.same({ "a", "final", 1 }, { seen[1][1], seen[1][2], #seen })
    assert.is_true(seen[1][3] < 1)
  end)
end)

if not speech_in_host then return end

describe("speech", function()
  it("of a tenant of whom nothing can be read is that of the program", function()
    local providers = require "ai.providers"
    local of = providers.of
    providers.of = function() error("the database is away", 0) end
    local audio = speech.audio({ id = 77, slug = "away", key = ("q"):rep(32) }, { text = "Nobody is away " .. os.time() })
    local targets = speech.targets({ id = 77, slug = "away" }, "recognise")
    providers.of = of
    assert.truthy(audio)
    assert.is_true(audio:seconds() > 0.3)
    assert.same({ "sphinx", 1 }, { targets[1].kind, #targets })
  end)

  it("of nothing but stops is a moment of silence", function()
    for _, text in ipairs{ "", "  ", "...", "?!" } do assert.is_true(speech.audio({ id = 78, key = ("q"):rep(32) }, { text = text }):seconds() < 0.1) end
  end)
end)
