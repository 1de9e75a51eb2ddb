-- SPDX-License-Identifier: Apache-2.0
--- Conversations that a realtime model leads, from greeting to end: with a leg and a session that are played, in a time of their own.
local json = require "core.json"
local live = require "calls.talk.live"
local promise = require "lib.promise"
local sentences = require "calls.talk.sentences"
local talk = require "calls.talk"
local world = require "tests.lua.talk_world"

local TOOLS = { tools = { "create_lead", "lookup_kb", "transfer", "hangup" } }

local function has(text, part) assert.truthy(text and text:find(part, 1, true), ("'%s' is not in '%s'"):format(part, tostring(text))) end

-- How it ended.
local function ended(w)
  local result = w.result
  return result and { wants_human = result.wants_human, why = result.why, turns = result.turns, lead = result.lead }
end

-- A conversation whose caller has heard the greeting, and whose model listens.
local function greeted(options)
  options = options or {}
  options.of = live
  local w = world.new(options)
  assert(w.talk:begin{})
  w:tell("ready", { provider = "p", model = "m" }):pass(4000)
  w:spoken()
  return w
end

-- What the model was told by name.
local function told(w, name)
  local list = {}
  for _, one in ipairs(w.model.told) do
    if one[1] == name then list[#list + 1] = { one[2], one[3], one[4] } end
  end
  return list
end

local function calls(w, reply, id, name, arguments)
  return w:tell("tool", { reply = reply, id = id, name = name, arguments = json.encode(arguments or {}), valid = true })
end

describe("a conversation that a realtime model leads", function()
  it("greets in our own words at once, and tells the model that it did", function()
    local w = world.new{ of = live, args = { greeting = "Acme Solar, good morning.", prompt = "Sell roofs.", tools = { "transfer" } } }
    assert(w.talk:begin{})
    assert.equal("Acme Solar, good morning.", w:spoken())
    local asked = w.model.asked
    assert.same({ role = "assistant", text = "Acme Solar, good morning." }, asked.history[#asked.history])
    has(asked.instructions, "Sell roofs.")
    assert.equal("transfer", asked.tools[1].name)
    w:pass(4000)
    assert.equal("Acme Solar, good morning.", w:last("agent").text)
    assert.is_true(w.kept.greeted)
  end)

  it("hears the caller, plays the model, and writes both down when that was heard", function()
    local w = greeted()
    w:says_to_model(1, "what do you have")
    assert.is_true(w.model.heard_ms >= 1000)
    w:pass(300):replies(1, "Roofs of all kinds.", 2000)
    assert.is_nil(w:last("caller"))
    w:pass(3000)
    assert.equal("what do you have", w:last("caller").text)
    local line = w:last("agent")
    assert.same({ "Roofs of all kinds.", nil }, { line.text, line.heard })
    assert.is_true(line.timeline.gap_ms >= 300 and line.timeline.gap_ms < 2000, line.timeline.gap_ms)
    assert.equal(line.timeline.gap_ms, w.timed[#w.timed].gap_ms)
    assert.is_true(w:last("caller").began_ms < w:last("caller").ended_ms)
    assert.equal(1, w.kept.turns)
    local turn = w.kept.history.turns[2]
    assert.same({ "what do you have", "Roofs of all kinds." }, { turn.user, turn.reply })
    assert.equal("", w:spoken())
    assert.is_nil(w.result)
  end)

  it("tells of his voice, of his words and of the model's, so that a card's number is kept out of the recording", function()
    local w = greeted()
    w:says_to_model(1, "four one one one")
    assert.same({ true, true, "four one one one" }, { w.noticed.speech.ms > 0, w.noticed.quiet.ms > 0, w.noticed.final.text })
    assert.same({ "turn 1", true, "turn 1" }, { w.noticed.asked.key, w.noticed.asked.goes_on, w.noticed.answered.key })
    w:tell("agent_text", { reply = 1, text = "I heard four one " }):tell("agent_text", { reply = 1, text = "one one." })
    assert.equal("I heard four one one one.", w.telling)
    w:tell("user_text", { turn = 2, text = "one" })
    assert.equal("one", w.noticed.partial.text)
  end)

  -- The line of the answer before ended the silence of a number whose words were there before their sound.
  it("is heard, or about to be, from a reply's first word to the end of its sound", function()
    local w = greeted()
    assert.is_false(w.talk:is_sounding())
    w:says_to_model(1, "what do you have"):tell("agent_text", { reply = 1, text = "Roofs." })
    assert.is_true(w.talk:is_sounding())
    w:tell("audio", { reply = 1, pcm = ("\1\0"):rep(8000) }):tell("audio_end", { reply = 1, ms = 1000 }):tell("turn_done", { reply = 1, reason = "end" })
    assert.is_true(w.talk:is_sounding())
    w:pass(3000)
    assert.equal("Roofs.", w:last("agent").text)
    assert.is_false(w.talk:is_sounding())
  end)

  -- It ended a number, and let its first group be heard.
  it("tells of a turn without words that it was answered, and of each text whose it is", function()
    local w = greeted()
    w:tell("speech_started", { turn = 1 }):tell("speech_ended")
    assert.truthy(w.noticed.ended)
    w:tell("user_text", { turn = 1, text = " ", final = true })
    assert.is_nil(w.noticed.final)
    assert.equal("turn 1", w.noticed.answered.key)
    w:tell("speech_started", { turn = 2 }):tell("user_text", { turn = 2, text = "one", final = true })
    assert.equal("turn 2", w.noticed.final.key)
  end)

  -- All of the recording was silence.
  it("tells nothing of his voice where his provider is to write nothing down", function()
    local w = greeted()
    w:tell("ready", { provider = "one", model = "m", untranscribed = true })
    assert.truthy(w.noticed.untranscribed)
    w.noticed.speech = nil
    w:says_to_model(1, "hello")
    assert.same({}, { w.noticed.speech, w.noticed.asked })
    w:tell("ready", { provider = "two", model = "m", again = true })
    w:says_to_model(2, "hello")
    assert.equal("turn 2", w.noticed.asked.key)
  end)

  it("waits a while for words that come late, and no longer", function()
    local w = greeted()
    w:tell("speech_started", { turn = 1 }):tell("speech_ended"):replies(1, "Of course.", 500):pass(700)
    assert.is_nil(w:last("caller"))
    w:tell("user_text", { turn = 1, text = "can you help me", final = true })
    assert.equal("can you help me", w:last("caller").text)
    w:tell("speech_started", { turn = 2 }):tell("user_text", { turn = 2, text = "thank" }):tell("speech_ended"):replies(2, "You are welcome.", 500):pass(1000)
    assert.equal(1, w.kept.turns)
    w:pass(1500)
    assert.same({ 2, "thank" }, { w.kept.turns, w:last("caller").text })
  end)

  it("runs its tools with the same permissions, and its answer is of the same exchange", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "i want a roof")
    calls(w, 1, "c1", "create_lead", { name = "Ann", interest = "a roof" }):tell("turn_done", { reply = 1, reason = "tool" })
    assert.same({ name = "Ann", notes = "a roof" }, w.leads[1].fields)
    local result = told(w, "tool_result")[1]
    assert.same({ "c1", "ld_1", false }, { result[1], json.decode(result[2]).lead, result[3] })
    w:pass(500):replies(2, "I have written that down.", 1500):pass(2000)
    assert.equal(1, w.kept.turns)
    local turn = w.kept.history.turns[2]
    assert.same({ "i want a roof", "assistant", "tool", "I have written that down." }, { turn.user, turn.steps[1].role, turn.steps[2].role, turn.reply })
    assert.equal("ld_1", w.kept.lead.id)
    w = greeted{ args = TOOLS, call = { permissions = { personal_data = false } } }
    calls(w, 1, "c1", "create_lead", { name = "Ann" })
    assert.is_nil(w.leads)
    assert.is_true(told(w, "tool_result")[1][3])
  end)

  it("has a result and what is said of it in one reply, where the provider does", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "i want a roof")
    w:tell("agent_text", { reply = 1, text = "One moment." }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(8000) })
    calls(w, 1, "c1", "create_lead", { name = "Ann" }):pass(1500)
    assert.equal(0, w.kept.turns)
    w:replies(1, " It is done.", 1000, "tool"):pass(2000)
    assert.equal("One moment. It is done.", w:last("agent").text)
    assert.equal(1, w.kept.turns)
  end)

  it("puts the caller through when the sentence before has been heard", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "that is too hard for you")
    w:tell("agent_text", { reply = 1, text = "I am putting you through." }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(16000) })
    calls(w, 1, "c1", "transfer"):pass(1500)
    assert.is_nil(w.result)
    w:pass(1000)
    assert.same({ wants_human = true, why = "transfer", turns = 1 }, ended(w))
    assert.equal("I am putting you through.", w:last("agent").text)
    assert.same({}, told(w, "tool_result"))
    assert.is_true(w.model.closed)
  end)

  it("puts him through though the time is over as well", function()
    local w = greeted{ args = { tools = { "transfer" }, limit = { turns = 40, seconds = 10 } } }
    w:says_to_model(1, "that is too hard for you")
    w:tell("agent_text", { reply = 1, text = "I am putting you through to somebody who knows it." }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(80000) }):pass(6000)
    calls(w, 1, "c1", "transfer"):pass(5000)
    assert.same({ wants_human = true, why = "transfer", turns = 1 }, ended(w))
  end)

  it("answers the model that calls without end that it was enough", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "prices")
    for i = 1, 14 do calls(w, i, "c" .. i, "lookup_kb"):tell("turn_done", { reply = i, reason = "tool" }) end
    local results = told(w, "tool_result")
    has(results[12][2], "question is missing")
    has(results[13][2], "too many calls")
  end)

  -- Each answer to "too many calls" is paid, and the silence clock stands still as long as there is one to come.
  it("puts the caller through when the model does nothing but call", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "prices")
    for i = 1, 100 do calls(w, i, "c" .. i, "lookup_kb"):tell("turn_done", { reply = i, reason = "tool" }) end
    has(w:spoken(), "something does not work on our side")
    w:pass(10000)
    assert.same({ wants_human = true, why = "tool_failed", turns = 1 }, ended(w))
    assert.equal(48, #w.kept.history.turns[2].steps)
  end)

  it("gives each call a result when the caller says something before he is put through for their number", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "prices")
    for i = 1, 26 do calls(w, i, "c" .. i, "lookup_kb"):tell("turn_done", { reply = i, reason = "tool" }) end
    w:says_to_model(2, "no, wait")
    local given = {}
    for _, result in ipairs(told(w, "tool_result")) do given[result[1]] = result[2] end
    for i = 1, 26 do assert.is_string(given["c" .. i], "call " .. i) end
    has(given.c25, "too many calls")
    w:replies(27, "What else?", 1000):pass(2500)
    assert.is_nil(w.result)
    assert.equal("What else?", w:last("agent").text)
  end)

  it("keeps no list of all that the model says while he is being put through", function()
    local w = greeted()
    w:says_to_model(1, "speak to a human")
    for i = 1, 5000 do w:tell("audio", { reply = i, pcm = "\1\0" }) end
    assert.equal(5000, #told(w, "cancel"))
    local kept = 0
    for _ in pairs(w.talk.aside) do kept = kept + 1 end
    assert.is_true(kept <= 100 and #w.talk.asides <= 100)
    w:says_to_model(2, "no, wait"):tell("audio", { reply = 5000, pcm = ("\1\0"):rep(800) })
    assert.is_false(w.talk.player:is_busy())
  end)

  it("keeps no more of what is said than is of use", function()
    local w = greeted()
    w:says_to_model(1, ("word "):rep(4000)):replies(1, ("roof "):rep(4000), 1000):pass(2000)
    local turn = w.kept.history.turns[2]
    assert.is_true(#turn.user <= 4096 and #turn.reply <= 4096 + 4)
  end)

  it("stays when the caller says something before he is put through, and the model knows", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "that was all")
    w:tell("agent_text", { reply = 1, text = "Goodbye." }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(16000) })
    calls(w, 1, "c1", "hangup"):tell("turn_done", { reply = 1, reason = "tool" }):pass(1000)
    w:says_to_model(2, "wait")
    assert.same({ "c1", true }, { told(w, "tool_result")[1][1], told(w, "tool_result")[1][3] })
    w:replies(2, "Of course, what else?", 1500):pass(2000)
    assert.is_nil(w.result)
    assert.equal("Of course, what else?", w:last("agent").text)
  end)

  it("is given to a human who is asked for, in our words, and the model says nothing more", function()
    local w = greeted()
    w:says_to_model(1, "speak to a human")
    assert.equal("One moment, I will put you through to somebody.", w:spoken())
    w:replies(1, "I can help you myself.", 2000)
    assert.same({ { 0, 1 } }, told(w, "cancel"))
    w:pass(6000)
    assert.same({ wants_human = true, why = "asked_for", turns = 1 }, ended(w))
    assert.equal("speak to a human", w:last("caller").text)
    has(w:last("agent").text, "put you through")
  end)

  it("knows that a human is asked for by the words that are there when the answer begins", function()
    local w = greeted()
    w:tell("speech_started", { turn = 1 }):tell("user_text", { turn = 1, text = "speak to a human" })
    w:tell("audio", { reply = 1, pcm = ("\1\0"):rep(8000) })
    has(w:spoken(), "put you through")
    assert.same({ { 0, 1 } }, told(w, "cancel"))
  end)

  it("is given to a human when two turns had no words, and when a tool does not work", function()
    local w = greeted()
    w:says_to_model(1, "", 1500):replies(1, "Sorry?", 500):pass(1500)
    assert.is_nil(w.result)
    w:says_to_model(2, "", 1500):pass(6000)
    assert.same({ true, "not_understood" }, { w.result.wants_human, w.result.why })
    w = greeted{ args = TOOLS, no_lead = true }
    w:says_to_model(1, "i want a roof")
    calls(w, 1, "c1", "create_lead", { name = "Ann" }):pass(8000)
    has(w:spoken(), "something does not work on our side")
    assert.same({ wants_human = true, why = "tool_failed", turns = 1 }, ended(w))
  end)

  -- A "no, wait" at the end of the announcement was written down when the call was gone.
  it("waits for the words that he has begun before the end of what puts him through, or wishes him a good day", function()
    -- He speaks from 300 ms before its end on, for 800 ms.
    local function announced(how)
      local w = greeted{ args = TOOLS }
      w:says_to_model(1, "that is all")
      w:tell("agent_text", { reply = 1, text = "One moment." }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(16000) })
      calls(w, 1, "c1", how):tell("turn_done", { reply = 1, reason = "tool" }):pass(1700)
      w.talk:on_media("speech", 0, 60)
      w:pass(400):tell("speech_started", { turn = 2 }):pass(400)
      w.talk:on_media("quiet", 0, 200)
      return w:tell("speech_ended")
    end
    for _, how in ipairs{ "transfer", "hangup" } do
      local w = announced(how):pass(1500)
      assert.is_nil(w.result)
      w:tell("user_text", { turn = 2, text = "no wait", final = true })
      assert.same({ "c1", true }, { told(w, "tool_result")[1][1], told(w, "tool_result")[1][3] })
      w:replies(2, "Yes?", 500):pass(3000)
      assert.is_nil(w.result)
      for _, text in ipairs{ "thank you, bye", "Thank you very much.", "No problem." } do
        w = announced(how):pass(500):tell("user_text", { turn = 2, text = text, final = true })
        assert.equal(how, w.result and w.result.why, text)
      end
      w = announced(how):pass(1700)
      assert.is_nil(w.result)
      w:pass(200)
      assert.equal(how, w.result.why)
    end
  end)

  it("waits for a cough before the end of what puts him through no longer than the provider takes to hear him", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "that is all")
    w:tell("agent_text", { reply = 1, text = "One moment." }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(16000) })
    calls(w, 1, "c1", "transfer"):tell("turn_done", { reply = 1, reason = "tool" }):pass(1900)
    w.talk:on_media("speech", 0, 60)
    w:pass(300).talk:on_media("quiet", 0, 200)
    w:pass(350)
    assert.is_nil(w.result)
    w:pass(100)
    assert.equal("transfer", w.result.why)
  end)

  it("begs his pardon once for two tools of a reply that do not work", function()
    local slow = { name = "slow", description = "takes its time", parameters = {} }
    local w = greeted{ args = { tools = { slow } }, script = function() end }
    w:says_to_model(1, "look both up")
    calls(w, 1, "c1", "slow")
    calls(w, 1, "c2", "slow"):tell("turn_done", { reply = 1, reason = "tool" }):pass(9500)
    assert.equal(sentences.of("en").broken, w:spoken())
    w:says_to_model(2, "no wait"):pass(200)
    assert.same({ "c1", "c2" }, { told(w, "tool_result")[1][1], told(w, "tool_result")[2][1] })
  end)

  it("gives every call a result when he holds up that he is put through, that of the tool that failed too", function()
    local w = greeted{ args = TOOLS, no_lead = true }
    w:says_to_model(1, "i want a roof")
    calls(w, 1, "c1", "create_lead", { name = "Ann" }):tell("turn_done", { reply = 1, reason = "tool" }):pass(500)
    has(w:spoken(), "something does not work on our side")
    assert.same({}, told(w, "tool_result"))
    w:says_to_model(2, "no never mind that")
    assert.same({ "c1", true }, { told(w, "tool_result")[1][1], told(w, "tool_result")[1][3] })
    w:replies(2, "What else?", 500):pass(1500)
    assert.is_nil(w.result)
    w = greeted{ args = TOOLS }
    w:says_to_model(1, "that was all")
    w:tell("agent_text", { reply = 1, text = "Goodbye." }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(16000) })
    calls(calls(w, 1, "c1", "transfer"), 1, "c2", "hangup"):tell("turn_done", { reply = 1, reason = "tool" }):pass(1000)
    w:says_to_model(2, "wait")
    assert.same({ "c1", "c2" }, { told(w, "tool_result")[1][1], told(w, "tool_result")[2][1] })
  end)

  it("gives a call a result that comes as he has asked for a human", function()
    local w = greeted{ args = TOOLS }
    w:tell("speech_started", { turn = 1 }):tell("user_text", { turn = 1, text = "speak to a human" })
    calls(w, 1, "c1", "create_lead", { name = "Ann" })
    assert.is_nil(w.leads)
    assert.same({ "c1", true }, { told(w, "tool_result")[1][1], told(w, "tool_result")[1][3] })
  end)

  it("waits for nothing behind a call that the provider took back", function()
    local asked
    local w = greeted{ args = TOOLS, call = { verbs = { create_lead = function()
      asked = promise.new()
      asked:wait()
      return { id = "ld_1", score = 1, status = "new" }
    end } } }
    w:says_to_model(1, "i want a roof")
    calls(w, 1, "c1", "create_lead", { name = "Ann" }):tell("tool_cancelled", { id = "c1" }):tell("turn_done", { reply = 1, reason = "interrupted" })
    asked:give()
    assert.same({}, told(w, "tool_result"))
    w:pass(8000)
    has(w:spoken(), "Are you still there")
  end)

  it("waits for no answer to a result that nobody wants", function()
    local w = greeted{ args = TOOLS }
    w.model.tool_result = function() return false end
    w:says_to_model(1, "i want a roof")
    calls(w, 1, "c1", "create_lead", { name = "Ann" }):tell("turn_done", { reply = 1, reason = "end" }):pass(8000)
    has(w:spoken(), "Are you still there")
  end)

  it("is given to a human though he coughs, or is glad of it, and the rest is heard", function()
    for _, text in ipairs{ "", "okay", "Thank you.", "yes please" } do
      local w = greeted()
      w:says_to_model(1, "speak to a human"):pass(300)
      w.talk:on_media("speech", 0, 60)
      w:pass(700):tell("speech_started", { turn = 2 })
      w.talk:on_media("quiet", 0, 200)
      w:tell("speech_ended"):tell("user_text", { turn = 2, text = text, final = true }):tell("user_text", { turn = 1, text = "speak to a human", final = true })
      w:pass(6000)
      assert.same({ true, "asked_for" }, { w.result.wants_human, w.result.why })
      assert.is_nil(w:last("agent").heard)
    end
  end)

  it("is held up by words, and what the model said to them meanwhile for nobody is asked for again", function()
    local w = greeted()
    w:says_to_model(1, "speak to a human"):pass(300)
    w:tell("speech_started", { turn = 2 }):tell("speech_ended"):replies(1, "Of course.", 500)
    w:tell("user_text", { turn = 2, text = "no tell me the prices first", final = true })
    assert.same({ { "no tell me the prices first" } }, told(w, "text"))
    w:replies(2, "Ten thousand.", 1000):pass(3000)
    assert.is_nil(w.result)
    assert.equal("Ten thousand.", w:last("agent").text)
  end)

  it("is silent with the model, and asks whether he is still there", function()
    local w = greeted()
    w:says_to_model(1, "hello"):tell("turn_done", { reply = 1, reason = "end" }):pass(500)
    assert.equal("hello", w:last("caller").text)
    w:pass(7500)
    has(w:spoken(), "Are you still there")
    w:says_to_model(2, "yes"):replies(2, "Good.", 500):pass(1000)
    assert.equal(2, w.kept.turns)
  end)

  it("asks a silent caller twice and then lets go", function()
    local w = greeted()
    w:pass(60000)
    local _, times = w:spoken():gsub("Are you still there", "")
    assert.equal(2, times)
    assert.equal("silence", w.result.why)
  end)

  it("ends at its limits, when what is being said has been heard", function()
    local w = greeted{ args = { limit = { turns = 1, seconds = 600 } } }
    w:says_to_model(1, "prices"):replies(1, "Ten thousand.", 1000):pass(2000)
    assert.same({ wants_human = false, why = "limit", turns = 1 }, ended(w))
    w = greeted{ args = { limit = { turns = 40, seconds = 8 } } }
    w:says_to_model(1, "prices", 2000):replies(1, "Ten thousand dollars for a roof of average size.", 4000):pass(2500)
    assert.is_nil(w.result)
    w:pass(3000)
    assert.equal("limit", w.result.why)
    w = greeted{ args = { limit = { turns = 40, seconds = 8 } } }
    w:pass(4500)
    assert.equal("limit", w.result.why)
  end)

  it("tells the model of keys, which break off what is said", function()
    local w = greeted()
    w:says_to_model(1, "hello"):replies(1, "Please enter your number now.", 3000):pass(1000)
    w:keys("12")
    assert.equal(1, told(w, "cancel")[1][2])
    w:keys("3#"):pass(4000)
    assert.same({ { "(presses 123)" } }, told(w, "text"))
    w:replies(2, "Thank you.", 500):pass(1000)
    assert.equal("(presses 123)", w:last("caller").text)
    assert.equal(4, w.keys_used)
    w:keys("7"):pass(3500)
    assert.equal("(presses 7)", told(w, "text")[2][1])
  end)

  -- The provider had it in writing, and so had its logs.
  it("tells the model no card's number that is pressed, at once, key by key in groups, or begun in words", function()
    local w = greeted()
    w:keys("4111111111111111#"):pass(500)
    assert.equal("(presses [CARD])", told(w, "text")[1][1])
    w:replies(1, "Thank you.", 500):pass(1000)
    assert.equal("(presses [CARD])", w:last("caller").text)
    w = greeted()
    for _ = 1, 4 do w:keys("4242"):pass(4000) end
    assert.same({ "(presses 4242)", "(presses [CARD])" }, { told(w, "text")[1][1], told(w, "text")[4][1] })
    w = greeted()
    w:says_to_model(1, "it begins with four one one one one one one one"):pass(500):replies(1, "Yes?", 500):pass(1000)
    w:keys("11111111#")
    assert.equal("(presses [CARD])", told(w, "text")[1][1])
  end)

  it("tells the model nothing that is pressed behind a card's number, but an answer", function()
    local is_card = false
    local w = greeted{ is_card = function() return is_card end }
    is_card = true  -- with the last of these keys
    w:keys("4*111111111111111#"):pass(500):replies(1, "And until when is it valid?", 500):pass(1000)
    w:keys("1229#"):pass(500):replies(2, "Press 1 if that is right.", 500):pass(1000):keys("1#")
    assert.same({ { "(presses [CARD])" }, { "(presses [CARD])" }, { "(presses 1)" } }, told(w, "text"))
  end)

  it("tells the model no card's number that a tool gives, or that was told before it led", function()
    local before = { turns = { { user = "it is 4111 1111" }, { user = "one one one one one one one one", reply = "Thank you." } } }
    local w = greeted{ kept = { history = before, greeted = true, turns = 2 }, args = { tools = { { name = "find", description = "finds", parameters = {} } } },
      script = function() return { value = { card = 4111111111111111, left = 3 } } end }
    assert.is_nil(json.encode(w.model.asked.history):find("1111", 1, true))
    w:says_to_model(1, "find it")
    calls(w, 1, "c1", "find"):pass(100)
    assert.same({ card = "[CARD]", left = 3 }, json.decode(told(w, "tool_result")[1][2]).result)
  end)
end)

describe("a caller who speaks over a realtime model", function()
  -- He has heard so much of an answer of 6 s.
  local function answering(ms)
    local w = greeted()
    w:says_to_model(1, "what do you have")
    w:replies(1, "We have roofs of glass, roofs of wood, roofs of stone and roofs of straw, and all of them are good.", 6000)
    return w:pass(ms)
  end

  it("stops it by the provider's word, and the model is told what was heard", function()
    local w = answering(2000)
    w:tell("speech_started", { turn = 2 })
    assert.same({ { 1940, 1 } }, told(w, "cancel"))
    assert.same({}, w.plays)
    w:pass(500)
    local line = w:last("agent")
    has(line.heard, "We have roofs of glass")
    assert.is_nil(line.heard:find("straw", 1, true))
    has(line.text, "straw")
    has(w.kept.history.turns[2].reply, "\226\128\166")
    w:tell("interrupted", { reply = 1 })
    assert.equal(1, #told(w, "cancel"))
  end)

  -- Its provider was done with it before: the usual case.
  it("is measured until our silence, once, when all of the answer was there", function()
    local w = greeted()
    w:says_to_model(1, "what do you have"):replies(1, "Roofs of all kinds and much more than that.", 5000):pass(2000)
    w.talk:on_media("speech", 0, 60)
    w:pass(200):tell("speech_started", { turn = 2 }):pass(500)
    assert.equal(1, #w.timed)
    local report = w.timed[1]
    assert.same({ 1, 260, 10, 270 }, { report.turn, report.barge_in_decision_ms, report.barge_in_stop_ms, report.barge_in_ms })
    has(w:last("agent").heard, "Roofs")
  end)

  it("waits by the provider's choice until his turn is ended, and that is no time of ours", function()
    local w = greeted()
    w:says_to_model(1, "what do you have"):replies(1, "Roofs of all kinds.", 1000):pass(2000)
    assert.is_true(w.timed[1].endpoint_ms >= 400, w.timed[1].endpoint_ms)
    assert.equal(0, w.timed[1].own_ms)
  end)

  it("is quieter by our own word, silent when he goes on, and goes on where it was when the provider hears nobody", function()
    local w = answering(1500)
    w.talk:on_media("speech", 0, 60)
    assert.equal(-12, w.ducked)
    w:pass(700)
    assert.same({}, w.plays)
    assert.same({}, told(w, "cancel"))
    for quiet = 200, 600, 200 do
      w:pass(200)
      w.talk:on_media("quiet", 0, quiet)
    end
    assert.equal(0, w.ducked)
    w:pass(6000)
    local line = w:last("agent")
    has(line.text, "straw")
    assert.is_nil(line.heard)
    assert.same({}, told(w, "cancel"))
  end)

  it("goes on when it is noise without end, and is not held by it again", function()
    local w = answering(1500)
    w.talk:on_media("speech", 0, 60)
    w:pass(4500)
    assert.is_truthy(next(w.plays))
    assert.equal(0, w.ducked)
    w:pass(6000)
    assert.is_nil(w:last("agent").heard)
    has(w:last("agent").text, "straw")
    w:pass(8000)
    has(w:spoken(), "Are you still there")
  end)

  it("has the rest of our own words when nobody was heard", function()
    local w = world.new{ of = live, args = { greeting = "This is a greeting of very many words that takes its time until it is over." } }
    assert(w.talk:begin{})
    w:tell("ready", { provider = "p", model = "m" }):pass(1000)
    w.talk:on_media("speech", 0, 60)
    w:pass(1000)
    assert.same({}, w.plays)
    w:pass(8000)
    assert.is_nil(w:last("agent").heard)
    has(w:last("agent").text, "until it is over")
  end)

  it("whom only the provider heard is silent after ten seconds without a voice, whatever it says", function()
    local w = greeted()
    w:tell("speech_started", { turn = 1 })
    w.talk:on_media("quiet", 0, 10000)
    w:pass(8000)
    has(w:spoken(), "Are you still there")
  end)

  it("has what was held cut off when the provider hears him after all", function()
    local w = answering(1500)
    w.talk:on_media("speech", 0, 60)
    w:pass(900):tell("speech_started", { turn = 2 })
    local at = told(w, "cancel")[1]
    assert.equal(1, at[2])
    assert.is_true(at[1] >= 1900 and at[1] <= 2100, at[1])
    w:pass(5000)
    assert.is_string(w:last("agent").heard)
  end)

  it("does not stop the greeting of a call that we made", function()
    local w = world.new{ of = live, call = { direction = "outbound" } }
    assert(w.talk:begin{})
    w:pass(500):tell("speech_started", { turn = 1 })
    w.talk:on_media("speech", 0, 60)
    w:pass(4000)
    assert.equal("Hello. How can I help you?", w:last("agent").text)
    assert.is_nil(w:last("agent").heard)
  end)

  it("is waited for by the provider that does not tell when he has ended", function()
    local w = greeted()
    w.talk:on_media("speech", 0, 60)
    w:pass(1500)
    for quiet = 200, 800, 200 do
      w:pass(200)
      w.talk:on_media("quiet", 0, quiet)
    end
    assert.is_true(w.model.expected)
    w = greeted()
    w.talk:on_media("speech", 0, 60)
    w:pass(300)
    for quiet = 200, 800, 200 do
      w:pass(200)
      w.talk:on_media("quiet", 0, quiet)
    end
    assert.is_nil(w.model.expected)
  end)
end)

describe("a realtime model that is lost", function()
  local LOST = { class = "network", text = "gone" }

  local function going_on(w, options)
    options = options or {}
    options.kept, options.going = json.decode(json.encode(w.result.going.kept)), w.result.going
    local other = world.new(options)
    assert(other.talk:begin{})
    return other
  end

  it("before it listens lets the greeting be heard, and nobody is greeted again", function()
    local w = world.new{ of = live }
    assert(w.talk:begin{})
    w:pass(300):tell("error", LOST)
    assert.is_nil(w.result)
    w:pass(4000)
    assert.equal("network", w.result.lost.class)
    assert.equal("Hello. How can I help you?", w:last("agent").text)
    assert.is_true(w.model.closed and w.closed.listener)
    local other = going_on(w, { answers = { prices = "Ten thousand." } })
    other:pass(2000)
    assert.equal("", other:spoken())
    other:says("prices"):pass(2000)
    has(other:spoken(), "Ten thousand.")
  end)

  it("while he is not answered has what he said heard by who goes on", function()
    local w = greeted()
    w:says_to_model(1, "prices", 1000):pass(500):tell("error", LOST)
    local going = w.result.going
    assert.is_false(going.again)
    assert.is_true(w.noticed.unheard.again_ms >= 2000)  -- since he began
    assert.is_nil(w:last("caller"))
    local bytes = 0
    for _, pcm in ipairs(going.sound) do bytes = bytes + #pcm end
    assert.is_true(bytes >= 16000)
    local other = world.new{ answers = { prices = "Ten thousand." }, kept = going.kept, going = going }
    other.next_text = "prices"
    assert(other.talk:begin{})
    other:pass(4000)
    assert.equal("Ten thousand. Is there anything else?", other:spoken())
    assert.is_true(other.sessions[1].fed >= 1000)
    other:pass(5000)
    assert.same({ "prices", 1 }, { other:last("caller").text, other.kept.turns })
    assert.equal(2, #other.kept.history.turns)  -- the greeting, and that
  end)

  -- Of a number all was taken for understood that was heard again from its middle on.
  it("while he speaks at length says that not all of it is heard again", function()
    local w = greeted()
    w.talk:on_media("speech", 0, 60)
    for _ = 1, 210 do w.on_audio(("\1\0"):rep(800)) end
    w:pass(21000):tell("error", LOST)
    assert.is_nil(w.noticed.unheard.again_ms)
  end)

  it("after it had all its time to answer, too", function()
    local w = greeted()
    w:says_to_model(1, "prices", 1000)
    for quiet = 600, 14000, 200 do
      w.on_audio(("\0\0"):rep(1600))
      w:pass(200)
      w.talk:on_media("quiet", 0, quiet)
    end
    w:tell("error", LOST)
    local bytes = 0
    for _, pcm in ipairs(w.result.going.sound) do bytes = bytes + #pcm end
    assert.is_true(bytes >= 16000 and bytes < 40000, bytes)
  end)

  it("while he speaks has him heard to his end", function()
    local w = greeted()
    w.talk:on_media("speech", 0, 60)
    w.on_audio(("\1\0"):rep(8000))
    w:pass(800):tell("error", LOST)
    local other = world.new{ answers = { prices = "Ten thousand." }, kept = w.result.going.kept, going = w.result.going }
    other.next_text = "prices"
    assert(other.talk:begin{})
    other.on_audio(("\1\0"):rep(8000))
    for quiet = 200, 800, 200 do
      other:pass(200)
      other.talk:on_media("quiet", 0, quiet)
    end
    other:pass(3000)
    assert.equal(2000, other.sessions[1].fed)
    has(other:spoken(), "Ten thousand.")
  end)

  it("in the middle of an answer has what there is of it heard, and he is asked to say it again", function()
    local w = greeted()
    w:says_to_model(1, "what do you have")
    w:tell("agent_text", { reply = 1, text = "We have roofs" }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(8000) }):tell("turn_done", { reply = 1, reason = "lost" })
    w:tell("error", LOST):pass(500)
    assert.is_nil(w.result)
    w:pass(1000)
    assert.is_true(w.result.going.again)
    assert.is_nil(w.noticed.unheard.again_ms)
    assert.same({ "what do you have", "We have roofs" }, { w:last("caller").text, w:last("agent").text })
    assert.equal(1, w.result.turns)
    local other = going_on(w, { models = { function() return { text = "x" } end } })
    assert.equal("I am sorry, I lost you for a moment. Please say that again.", other:spoken())
    assert.equal("We have roofs", other.talk.history.turns[2].reply)
    assert.is_true(other.lines[1] == nil or other.lines[1].n > w:last("agent").n)
  end)

  it("for a moment goes on in another reply of the same exchange", function()
    local w = greeted()
    w:says_to_model(1, "count")
    w:tell("agent_text", { reply = 1, text = "one two" }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(8000) }):tell("turn_done", { reply = 1, reason = "lost" })
    w:pass(1500):tell("ready", { provider = "p", model = "m", again = true })
    assert.equal(0, w.kept.turns)
    w:replies(2, "three four", 1000):pass(1500)
    assert.same({ "one two three four", 1 }, { w:last("agent").text, w.kept.turns })
  end)

  it("does not have a caller's turn twice that the next connection hears again", function()
    local w = greeted()
    w:says_to_model(1, "hello there")
    w:tell("ready", { provider = "q", model = "m", again = true }):tell("speech_started", { turn = 2 }):tell("speech_ended")
    assert.is_true(w.noticed.again.ms >= 1000)
    w:tell("user_text", { turn = 2, text = "hello there", final = true }):replies(1, "Good day.", 500):pass(1000)
    assert.equal("hello there", w:last("caller").text)
    assert.equal(1, w.kept.turns)
  end)

  it("is gone on without at once when he speaks over what is held", function()
    local w = world.new{ of = live, args = { greeting = "This is a greeting of very many words that takes its time until it is over." } }
    assert(w.talk:begin{})
    w:pass(500)
    w.talk:on_media("speech", 0, 60)
    w:pass(1000):tell("error", LOST)
    assert.equal("network", w.result.lost.class)
    assert.is_string(w:last("agent").heard)
  end)

  it("is gone on without when he speaks over what is still being said", function()
    local w = world.new{ of = live, args = { greeting = "This is a greeting of very many words that takes its time until it is over." } }
    assert(w.talk:begin{})
    w:pass(500):tell("error", LOST)
    w.talk:on_media("speech", 0, 60)
    w:pass(700)
    assert.equal("network", w.result.lost.class)
    assert.is_table(w.result.going.sound)
    assert.is_string(w:last("agent").heard)
  end)
end)

describe("a conversation with a realtime model that ends in the midst", function()
  it("lets go of listener, session, plays and clocks at any moment, and writes what was said", function()
    for _, ms in ipairs{ 0, 300, 1000, 2500 } do
      local w = greeted{ args = TOOLS }
      w:says_to_model(1, "what do you have")
      w:tell("agent_text", { reply = 1, text = "We have roofs of all kinds" }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(16000) })
      w:pass(ms)
      w.talk:close()
      w:pass(100)
      assert.is_true(w.closed.listener and w.model.closed)
      assert.same({}, w.plays)
      for _, timer in ipairs(w.timers) do assert.is_true(timer.own or timer.fn == nil) end
      assert.is_nil(w.result)
      assert.equal("what do you have", w:last("caller").text)
      if ms > 500 then has(w:last("agent").heard or w:last("agent").text, "We have") end
    end
  end)

  it("writes what nobody has answered", function()
    local w = greeted()
    w:says_to_model(1, "i wanted to ask")
    w.talk:close()
    assert.equal("i wanted to ask", w:last("caller").text)
  end)

  it("leaves the last exchange to whoever takes the call up, who greets nobody twice", function()
    local w = greeted{ args = TOOLS }
    w:says_to_model(1, "i want a roof"):replies(1, "Which one?", 800):pass(1000)
    local kept = json.decode(json.encode(w.kept))
    w:says_to_model(2, "of glass"):replies(2, "Good.", 800):pass(100)
    local before = #w.lines
    w.talk:close(true)
    assert.equal(before, #w.lines)
    assert.is_truthy(next(w.plays))
    local again = world.new{ of = live, args = TOOLS, kept = kept }
    assert(again.talk:begin{})
    assert.equal("I am sorry, I lost you for a moment. Please say that again.", again:spoken())
    local texts = {}
    for i, message in ipairs(again.model.asked.history) do texts[i] = message.text end
    has(table.concat(texts, "|"), "i want a roof|Which one?")
    has(texts[#texts], "lost you for a moment")
    -- And one without a realtime model can go on with the same.
    local other = world.new{ of = talk, kept = kept, answers = { prices = "Ten." } }:greeted()
    assert.equal("Which one?", other.talk.history.turns[2].reply)
  end)
end)
