-- SPDX-License-Identifier: Apache-2.0
--- Realtime models against the fakes of OpenAI Realtime and Gemini Live: run by test_speech.py, which says where they are. What the caller says is spoken by
--- ElevenLabs' fake, and what the models say is heard by whisper's.
local health = require "ai.health"
local http = require "core.http"
local json = require "core.json"
local realtime = require "speech.realtime"
local recogniser = require "speech.recogniser"
local synthesiser = require "speech.synthesiser"
local task = require "core.task"
local world = require "speech.world"

local SPEECH = assert(os.getenv "SPEECH_URL", "SPEECH_URL: the base of tests/fakes/speech")
local SECURE, CA = os.getenv "SPEECH_TLS_URL", os.getenv "SPEECH_CA"
local KINDS = { "openai", "gemini" }

local function fresh()
  local own = {}
  for name, value in pairs(world) do own[name] = value end
  own.health = health.new(own)
  return own
end

local function with(fault) return SPEECH .. (fault and "/_with/" .. fault or "") end

local function target(kind, fault, more)
  local made = { provider = kind .. (fault or ""), kind = kind, url = with(fault) .. (kind == "openai" and "/v1" or ""), model = "m", key = "k", owner = 0 }
  for name, value in pairs(more or {}) do made[name] = value end
  return made
end

local SILENCE = ("\0\0"):rep(160)  -- 20 ms

local function spoken(text)
  local stream, pieces = synthesiser.say(fresh(), { text = text, rate = 8000 }, { target("elevenlabs", nil, { url = SPEECH }) }), {}
  for event in function() return stream:next() end do
    if event.type == "audio" then pieces[#pieces + 1] = event.pcm end
  end
  return table.concat(pieces)
end

local function heard(pcm)
  local session, texts = recogniser.open(fresh(), { rate = 8000 }, { target("whisper", nil, { url = SPEECH }) }), {}
  session:feed(pcm .. SILENCE:rep(10))
  session:finish()
  for event in function() return session:next() end do
    if event.type == "final" and event.text ~= "" then texts[#texts + 1] = event.text end
  end
  return table.concat(texts, " ")
end

-- A session whose events are kept: { session, events, sound = of each reply, text = of each reply }.
local function open(targets, options)
  local got = { events = {}, sound = {}, text = {} }
  options = options or {}
  options.instructions = options.instructions or "Be brief."
  options.on_event = function(event)
    got.events[#got.events + 1] = event
    if event.type == "audio" then got.sound[event.reply] = (got.sound[event.reply] or "") .. event.pcm end
    if event.type == "agent_text" then got.text[event.reply] = (got.text[event.reply] or "") .. event.text end
    if got.watch then got.watch(event) end
  end
  got.session = realtime.open(options.world or fresh(), options, targets)
  return got
end

-- The first event of a type behind a place in the list; waits.
local function wait_for(got, kind, from)
  for _ = 1, 1500 do
    for i = from or 1, #got.events do
      if got.events[i].type == kind then return got.events[i], i end
      if got.events[i].type == "error" and kind ~= "error" then error("told of an error: " .. got.events[i].class .. " " .. got.events[i].text, 2) end
    end
    task.sleep(10)
  end
  local seen = {}
  for i, event in ipairs(got.events) do seen[i] = event.type end
  error("no " .. kind .. " came: " .. table.concat(seen, " "), 2)
end

-- Says something, as a caller does whose line is never silent for good.
local function say(got, text)
  local pcm = spoken(text) .. SILENCE:rep(40)
  for at = 1, #pcm, 320 do
    got.session:audio(pcm:sub(at, at + 319))
    if at % 3200 == 1 then task.sleep(1) end
  end
end

local function count(got, kind)
  local n = 0
  for _, event in ipairs(got.events) do
    if event.type == kind then n = n + 1 end
  end
  return n
end

local function texts(messages)
  local list = {}
  for i, message in ipairs(messages) do list[i] = message.role .. ": " .. message.text end
  return list
end

-- What the fake keeps of the newest session with a provider.
local function conversation(kind)
  local answer = assert(http.fetch{ url = SPEECH .. "/_fake/realtime" })
  local all, found = json.decode(answer.body), nil
  for _, one in ipairs(all) do
    if one.provider == kind then found = one end
  end
  return found
end

local TOOLS = { { name = "find_order", description = "Looks one order up.", parameters = { type = "object", properties = { id = { type = "string" } }, required = json.array{ "id" } } } }

describe("a realtime model", function()
  it("hears what is said, and answers by voice and in text", function()
    for _, kind in ipairs(KINDS) do
      local got = open{ target(kind) }
      say(got, "Good day")
      local done = wait_for(got, "turn_done")
      wait_for(got, "user_text")
      for _ = 1, 20 do
        if got.session:history()[1] and got.session:history()[1].text == "Good day" then break end
        task.sleep(10)
      end
      assert.equal("You said: Good day", heard(got.sound[1]), kind)
      assert.equal("You said: Good day", got.text[1], kind)
      assert.same({ "user: Good day", "assistant: You said: Good day" }, texts(got.session:history()), kind)
      assert.equal("end", done.reason)
      local usage = done.usage
      assert.is_true(usage.input > 0 and usage.audio_input > 0 and usage.audio_output > 0, kind)
      local _, ready = wait_for(got, "ready")
      local _, started = wait_for(got, "speech_started")
      local _, ended = wait_for(got, "speech_ended")
      local _, audio = wait_for(got, "audio")
      local all, behind = wait_for(got, "audio_end")
      assert.is_true(ready < started and started < ended and ended < audio and audio < behind, kind)
      assert.is_true(math.abs(all.ms - #got.sound[1] / 16) < 1, kind)
      got.session:close()
      assert.is_nil(got.session:next())
    end
  end)

  it("is spoken to over TLS, in A-law, and its events can be taken one by one", function()
    local session = realtime.open(fresh(), { instructions = "x" }, { target("openai", nil, { url = SECURE .. "/v1", ca_file = CA, flags = { law = "alaw" } }) })
    session:text("say Yes.")
    local sound, last = {}, nil
    for event in function() return session:next() end do
      if event.type == "audio" then sound[#sound + 1] = event.pcm end
      last = event
      if event.type == "turn_done" then break end
    end
    assert.equal("turn_done", last.type)
    assert.equal("Yes.", heard(table.concat(sound)))
    session:close()
  end)

  it("that is interrupted knows no more of its answer than was heard", function()
    for _, kind in ipairs(KINDS) do
      local got = open{ target(kind) }
      local stopped
      got.watch = function(event)
        if stopped or (event.type ~= "interrupted" and not (event.type == "speech_started" and got.sound[1])) then return end
        stopped = true
        got.session:cancel(1000)
      end
      say(got, "count to 40")
      wait_for(got, "audio")
      while #got.sound[1] < 16 * 2000 do task.sleep(5) end
      say(got, "say Stopped.")
      local _, first = wait_for(got, "turn_done")
      assert.equal("interrupted", got.events[first].reason, kind)
      local second = wait_for(got, "turn_done", first + 1)
      assert.equal(2, second.reply)
      assert.equal("Stopped.", heard(got.sound[2]), kind)
      local said = got.session:history()
      local cut
      for _, message in ipairs(said) do
        if message.role == "assistant" and message.text:find("^1") then cut = message.text end
      end
      assert.is_truthy(cut and cut:find("\226\128\166$"), kind .. ": " .. json.encode(texts(said)))
      assert.is_true(#cut < 60, kind .. ": " .. cut)
      for _, item in ipairs(conversation(kind).items) do
        local text = kind == "gemini" and item.role == "assistant" and item.text or item.role == "assistant" and item.sound and item.sound.text
        if text and text:find("^1") and kind == "openai" then
          assert.equal(1000, item.sound.ms)
          assert.is_true(#text < 30, text)
        end
      end
      got.session:close()
    end
  end)

  it("has what the caller did not hear of an ended answer taken back, and nothing of it is told any more", function()
    local got = open{ target "openai" }
    got.session:text("count to 30")
    wait_for(got, "turn_done")
    got.session:cancel(0)
    task.sleep(100)
    for _, item in ipairs(conversation("openai").items) do assert.are_not.equal("assistant", item.role) end
    assert.same({ "user: count to 30" }, texts(got.session:history()))
    got.session:text("count to 50")
    wait_for(got, "audio", #got.events)
    got.session:cancel(100, 2)
    local before = count(got, "audio")
    assert.equal("interrupted", wait_for(got, "turn_done", #got.events).reason)
    assert.equal(before, count(got, "audio"))
    got.session:close()
  end)

  it("calls a tool, and goes on with its result", function()
    for _, kind in ipairs(KINDS) do
      local got = open({ target(kind) }, { tools = TOOLS })
      say(got, 'use find_order with {"id":"7"}')
      local call = wait_for(got, "tool")
      assert.same({ "find_order", true }, { call.name, call.valid })
      assert.same({ id = "7" }, json.decode(call.arguments))
      task.sleep(50)
      local from = #got.events + 1
      got.session:tool_result(call.id, "sent on Monday")
      local done = wait_for(got, "turn_done", from)
      assert.equal("find_order said: sent on Monday", heard(got.sound[done.reply]), kind)
      local said = got.session:history()
      assert.equal("tool", said[#said - 1].role)
      assert.equal(call.id, said[#said - 1].tool_call_id)
      got.session:close()
    end
  end)

  it("takes calls back that the caller has made pointless", function()
    local got = open({ target "gemini" }, { tools = TOOLS })
    say(got, 'use find_order with {"id":"7"}')
    local call = wait_for(got, "tool")
    say(got, "say Never mind.")
    assert.equal(call.id, wait_for(got, "tool_cancelled").id)
    got.session:tool_result(call.id, "too late")
    local _, first = wait_for(got, "turn_done")
    local done = wait_for(got, "turn_done", first + 1)
    assert.equal("Never mind.", heard(got.sound[done.reply]))
    got.session:close()
  end)

  it("is told what was said before", function()
    for _, kind in ipairs(KINDS) do
      for _, flags in ipairs{ {}, kind == "gemini" and { history_config = false } or nil } do
        local got = open({ target(kind, nil, { flags = flags }) }, { history = { { role = "user", text = "use find_order" },
          { role = "assistant", text = "", tool_calls = { { id = "c1", name = "find_order", arguments = "{}" } } }, { role = "tool", tool_call_id = "c1", text = "none" },
          { role = "user", text = "count to 5" }, { role = "assistant", text = "1 2 3" } } })
        wait_for(got, "ready")
        got.session:text("go on")
        wait_for(got, "turn_done")
        assert.equal("4 5", got.text[1], kind)
        got.session:close()
      end
    end
  end)
end)

describe("a realtime model that fails", function()
  it("before it listens is followed by the next, whatever befell it", function()
    for _, kind in ipairs(KINDS) do
      for _, fault in ipairs{ "status=401", "status=429", "status=503", "close=1011", "stall=1" } do
        local got = open({ target(kind, fault), target(kind == "openai" and "gemini" or "openai") }, { ready_ms = 400 })
        got.session:text("say Here.")
        assert.equal(kind == "openai" and "gemini" or "openai", wait_for(got, "ready").provider, kind .. fault)
        wait_for(got, "turn_done")
        assert.equal("Here.", got.text[1], kind .. fault)
        got.session:close()
      end
    end
  end)

  it("says what it failed of, and whether it is worth asking again", function()
    local classes = { ["status=401"] = { "auth", false }, ["status=429"] = { "rate", true }, ["status=503"] = { "overload", true }, ["close=1011"] = { "server", true },
      ["stall=1"] = { "timeout", true } }
    for _, kind in ipairs(KINDS) do
      for fault, wanted in pairs(classes) do
        local got = open({ target(kind, fault) }, { ready_ms = 400 })
        local last = wait_for(got, "error")
        assert.same(wanted, { last.class, last.retry }, kind .. fault .. last.text)
      end
      assert.equal("auth", wait_for(open{ target(kind, nil, { key = "wrong" }) }, "error").class, kind)
      assert.equal("not_found", wait_for(open{ target(kind, nil, { model = "missing" }) }, "error").class, kind)
      assert.equal("network", wait_for(open{ target(kind, nil, { url = "http://127.0.0.1:1" }) }, "error").class, kind)
    end
    assert.equal("quota", wait_for(open{ target("gemini", nil, { key = "broke" }) }, "error").class)
    assert.equal("bad_request", wait_for(open({ target("openai", nil, { flags = { voice = "nobody" } }) }), "error").class)
    assert.equal("no_provider", wait_for(open{}, "error").class)
  end)

  it("in the middle of an answer goes on with it on another connection", function()
    local n = 0
    for _, kind in ipairs(KINDS) do
      for _, fault in ipairs{ "cut=1", "close_in=1", "halt=1", "garbage=1", "oversize=1" } do
        n = n + 1
        local got = open({ target(kind, ("%s,once=%d%d"):format(fault, os.time() % 100000, n)), target(kind) }, { idle_ms = 400, history = { { role = "user", text = "count to 12" } } })
        wait_for(got, "ready")
        say(got, "count to 12")
        local lost, at = wait_for(got, "turn_done")
        assert.equal("lost", lost.reason, kind .. fault)
        assert.is_true(wait_for(got, "ready", at).again)
        local done = wait_for(got, "turn_done", at + 1)
        assert.equal("end", done.reason)
        assert.is_true(#got.text[done.reply] > 0)
        assert.equal(got.text[done.reply], heard(got.sound[done.reply]), kind .. fault)
        got.session:close()
      end
    end
  end)

  it("to answer has the caller's words heard by the next", function()
    for _, kind in ipairs(KINDS) do
      local got = open({ target(kind, "mute=1"), target(kind) }, { answer_ms = 600 })
      wait_for(got, "ready")
      say(got, "Where is my order?")
      got.session:expect_answer()
      wait_for(got, "turn_done")
      assert.equal("You said: Where is my order?", heard(got.sound[1]), kind)
      got.session:close()
    end
    local got = open{ target("openai", "fail=1"), target "gemini" }
    got.session:text("say Here.")
    assert.equal("failed", wait_for(got, "turn_done").reason)
    local _, at = wait_for(got, "turn_done")
    wait_for(got, "turn_done", at + 1)
    assert.equal("Here.", got.text[2])
    got.session:close()
  end)

  it("while a tool runs is given its result by the next", function()
    for _, kind in ipairs(KINDS) do
      local got = open({ target(kind, nil, { key = "k" }), target(kind) }, { tools = TOOLS })
      say(got, 'use find_order with {"id":"7"}')
      local call = wait_for(got, "tool")
      task.sleep(50)
      got.session.link.socket:drop()
      local at = #got.events
      wait_for(got, "ready", at)
      got.session:tool_result(call.id, "sent")
      local done = wait_for(got, "turn_done", #got.events)
      assert.is_truthy(got.text[done.reply]:find("sent", 1, true), kind)
      got.session:close()
    end
  end)
end)

describe("a session at its provider's limit", function()
  it("goes on with the conversation, and no word is lost", function()
    for kind, fault in pairs{ openai = "limit_s=1.5", gemini = "goaway=0.8" } do
      local got = open{ target(kind, fault .. ",once=" .. (os.time() % 100000) .. #kind) }
      say(got, "say One.")
      wait_for(got, "turn_done")
      local again = wait_for(got, "ready", 3)
      assert.is_true(again.again, kind)
      local from = #got.events
      say(got, "Do you hear me?")
      local done = wait_for(got, "turn_done", from)
      assert.equal("You said: Do you hear me?", heard(got.sound[done.reply]), kind)
      if kind == "openai" then assert.equal("One.", conversation(kind).items[2].content[1].text) end
      assert.equal(0, count(got, "error"))
      got.session:close()
    end
  end)
end)
