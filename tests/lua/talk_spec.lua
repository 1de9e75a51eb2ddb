-- SPDX-License-Identifier: Apache-2.0
--- Conversations from greeting to end, with a leg, a recogniser, a synthesiser and a model that are played, in a time of their own.
local json = require "core.json"
local promise = require "lib.promise"
local request = require "ai.request"
local world = require "tests.lua.talk_world"

local HOURS = "We are open from eight to six."
local ANSWERS = { ["opening hours"] = HOURS, prices = "A roof costs ten thousand dollars." }
local LEAD = { tools = { "create_lead", "lookup_kb" } }

local function has(text, part) assert.truthy(text:find(part, 1, true), ("'%s' is not in '%s'"):format(part, text)) end

-- How it ended.
local function ended(w)
  local result = w.result
  return result and { wants_human = result.wants_human, why = result.why, turns = result.turns, lead = result.lead }
end

-- A conversation whose caller has heard the greeting.
local function greeted(options)
  local w = world.new(options):greeted()
  w:spoken()
  return w
end

describe("a conversation without a model", function()
  it("greets, and answers from the knowledge base", function()
    local w = world.new{ answers = ANSWERS }:greeted()
    assert.equal("Hello. How can I help you?", w:spoken())
    w:says("opening hours"):pass(1500)
    has(w:spoken(), HOURS)
    w:pass(8000)
    assert.equal("opening hours", w:last("caller").text)
    has(w:last("agent").text, HOURS)
    assert.is_nil(w:last("agent").heard)
    assert.is_nil(w.result)
  end)

  it("tells the recogniser what the knowledge base has, and then that yes or no is expected", function()
    local w = greeted{ answers = ANSWERS }
    local first = w.sessions[1].asked
    assert.equal("phrases", first.expect.kind)
    has(table.concat(first.expect.phrases, "|"), "what are your opening hours")
    w:says("opening hours"):pass(8000)
    w:says("yes"):pass(8000)
    has(table.concat(w.sessions[2].asked.phrases, "|"), "tell me about prices")
    w:says("prices"):pass(8000)
    local kinds = {}
    for i, session in ipairs(w.sessions) do kinds[i] = session.asked.expect.kind end
    assert.same({ "phrases", "yesno", "phrases" }, kinds)
  end)

  it("makes a lead with what was asked about when the caller wants to be called back", function()
    local w = greeted{ answers = ANSWERS, args = LEAD }
    w:says("opening hours"):pass(9000)
    has(w:spoken(), "Shall we call you back about this?")
    w:says("yes please"):pass(8000)
    assert.same({ { fields = { notes = "asked about: opening hours" }, key = "k:lead" } }, w.leads)
    has(w:spoken(), "Thank you. We will call you back. Is there anything else?")
    w:says("no thanks"):pass(6000)
    has(w:spoken(), "Goodbye")
    assert.same({ wants_human = false, why = "hangup", turns = 3, lead = { id = "ld_1", score = 10, status = "new" } }, ended(w))
  end)

  it("takes the number by keys where the caller's is withheld", function()
    local w = greeted{ answers = ANSWERS, args = LEAD }
    w.call.from = nil
    w:says("call me back"):pass(6000)
    has(w:spoken(), "enter or say your phone number")
    w:keys("2025550199#"):pass(6000)
    assert.equal("2025550199", w.leads[1].fields.phone)
    assert.equal(11, w.keys_used)
  end)

  it("gives the caller to a human who asks for one, when he has heard so", function()
    local w = greeted{ answers = ANSWERS }
    w:says("speak to a human"):pass(500)
    has(w:spoken(), "put you through")
    assert.is_nil(w.result)
    w:pass(6000)
    assert.same({ wants_human = true, why = "asked_for", turns = 1 }, ended(w))
  end)

  it("gives him to a human when two turns were not understood", function()
    local w = greeted{ answers = ANSWERS }
    w:says("warranty"):pass(12000)
    has(w:spoken(), "I do not know that. I can tell you about opening hours and prices.")
    w:says("warranty"):pass(8000)
    assert.same({ wants_human = true, why = "not_understood", turns = 2 }, ended(w))
  end)

  it("counts two sounds without words as not understood", function()
    local w = greeted{ answers = ANSWERS }
    w:says("", 1200):pass(9000)
    has(w:spoken(), "I did not understand that")
    w:says("", 1200):pass(12000)
    assert.is_true(w.result.wants_human)
    assert.equal("not_understood", w.result.why)
  end)

  it("gives him to a human when the lead cannot be stored", function()
    local w = greeted{ answers = ANSWERS, args = LEAD, no_lead = true }
    w:says("call me back"):pass(9000)
    assert.is_true(w.result.wants_human)
    assert.equal("tool_failed", w.result.why)
  end)

  it("asks a silent caller twice and then lets go", function()
    local w = greeted{ answers = ANSWERS }
    w:pass(60000)
    local _, times = w:spoken():gsub("Are you still there", "")
    assert.equal(2, times)
    assert.equal("silence", w.result.why)
  end)

  it("ends at its limits", function()
    local w = greeted{ answers = ANSWERS, args = { limit = { turns = 1, seconds = 600 } } }
    w:says("prices"):pass(9000)
    assert.equal("limit", w.result.why)
    assert.equal(1, w.result.turns)
    w = greeted{ answers = ANSWERS, args = { limit = { turns = 40, seconds = 10 } } }
    w:pass(8000)
    assert.equal("limit", w.result.why)
  end)
end)

describe("a caller who speaks over us", function()
  it("stops us with words, and the transcript keeps what he had heard", function()
    local w = greeted{ answers = ANSWERS }
    w:says("opening hours"):pass(1400)
    local stopped
    local stop = w.call.leg.stop
    w.call.leg.stop = function(...) stopped = w.at return stop(...) end
    w:says("prices", 700):pass(300)
    assert.is_number(stopped)
    w:pass(9000)
    local cut
    for _, line in ipairs(w.lines) do
      if line.party == "agent" and line.heard then cut = line end
    end
    has(cut.heard, "We are open")
    assert.is_nil(cut.heard:find("Is there anything else", 1, true))
    has(cut.text, "Is there anything else?")
    assert.is_number(cut.timeline.barge_in_ms)
    assert.is_true(cut.began_ms < cut.ended_ms)
    local gaps, silences = 0, {}
    for _, report in ipairs(w.timed) do
      gaps = gaps + (report.gap_ms and 1 or 0)
      silences[#silences + 1] = report.barge_in_ms
    end
    assert.same({ 2, { cut.timeline.barge_in_ms } }, { gaps, silences })  -- each turn is told of once, with its silence
    has(w:last("agent").text, "A roof costs ten thousand dollars.")
  end)

  it("silences us with a sound, and we are heard to the end when it was no word", function()
    local w = greeted{ answers = ANSWERS }
    w:says("opening hours"):pass(1700)
    w:says("", 400):pass(6000)
    local line = w:last("agent")
    has(line.text, "We are open")
    assert.is_nil(line.heard)
    assert.equal(1, line.timeline.counts.false_alarm)
    assert.is_true(line.timeline.hushed_ms > 400 and line.timeline.hushed_ms < 900, line.timeline.hushed_ms)
    assert.is_nil(line.timeline.barge_in_ms)
  end)

  -- What lies in the jitter buffer was said before.
  it("is timed from his packets on, not from when they are heard", function()
    local w = greeted{ answers = ANSWERS }
    w.buffered_ms = 40
    w:says("opening hours"):pass(1400)
    w:says("prices", 700):pass(9000)
    local cut, caller
    for _, line in ipairs(w.lines) do
      cut = line.heard and line or cut
      caller = caller or line.party == "caller" and line
    end
    assert.equal(100, cut.timeline.barge_in_decision_ms)
    assert.equal(110, cut.timeline.barge_in_ms)
    assert.equal(4000 - 40, caller.began_ms)
  end)

  it("silences us long before his words are understood", function()
    local w = greeted{ answers = ANSWERS }
    w:says("opening hours"):pass(1400)
    w:says("prices", 700):pass(9000)
    local cut
    for _, line in ipairs(w.lines) do cut = line.heard and line or cut end
    assert.equal(60, cut.timeline.barge_in_decision_ms)
    assert.equal(70, cut.timeline.barge_in_ms)
  end)

  it("holds us with a long sound, and the rest is said when no word came", function()
    local w = greeted{ answers = ANSWERS }
    w:says("opening hours"):pass(1700)
    w:says("", 1300):pass(4500)
    local line = w:last("agent")
    has(line.text, "Is there anything else?")
    assert.is_nil(line.heard)
    assert.equal(1, line.timeline.counts.false_alarm)
  end)
end)

-- -- with a model -------------------------------------------------------------------------------------------------------------

local function says(text)
  return function(_, given)
    for word in text:gmatch("%S+%s*") do given.on_event{ type = "text", text = word } end
    return { text = text, tool_calls = {}, reason = "end" }
  end
end

local function calls(name, arguments, text)
  return function(_, given)
    if text then given.on_event{ type = "text", text = text } end
    return { text = text or "", reason = "tools", tool_calls = { { id = "t1", name = name, arguments = json.encode(arguments) } } }
  end
end

-- Waits until it is cancelled.
local function never(_, given)
  given.cancel:wait()
  return nil, { class = "cancelled", text = "cancelled" }
end

describe("a conversation with a model", function()
  it("speaks what it says, and tells it what was said before", function()
    local w = greeted{ models = { says "We have roofs of all kinds.", says "They are made of glass." }, args = { prompt = "Sell roofs." } }
    w:says("what do you have"):pass(6000)
    has(w:spoken(), "We have roofs of all kinds.")
    w:says("what are they made of"):pass(6000)
    has(w.asked[1].system, "Sell roofs.")
    local messages = w.asked[#w.asked].messages
    assert.same({ "user", "assistant", "user", "assistant", "user" }, { messages[1].role, messages[2].role, messages[3].role, messages[4].role, messages[5].role })
    assert.equal("We have roofs of all kinds.", messages[4].text)
    assert.equal("what are they made of", messages[5].text)
  end)

  it("runs its tools and says the answer after them", function()
    local w = greeted{ args = LEAD, models = { calls("create_lead", { name = "Ann", interest = "a roof" }), says "I have written that down." } }
    w:says("i want a roof"):pass(6000)
    assert.same({ name = "Ann", notes = "a roof" }, w.leads[1].fields)
    has(w:spoken(), "I have written that down.")
    local messages = w.asked[2].messages
    assert.equal("tool", messages[#messages].role)
    assert.equal("ld_1", json.decode(messages[#messages].text).lead)
  end)

  it("has a tool once that the script names twice, for no request may have it twice", function()
    local w = greeted{ args = { tools = { "hangup", "transfer", "hangup" } }, models = { says "We do." } }
    w:says("do you have roofs"):pass(6000)
    assert.truthy(request.check(w.asked[1]))
    assert.equal(2, #w.asked[1].tools)
  end)

  it("gives the caller to a human when a tool does not work", function()
    local w = greeted{ args = LEAD, no_lead = true, models = { calls("create_lead", { name = "Ann" }) } }
    w:says("i want a roof"):pass(12000)
    has(w:spoken(), "something does not work on our side")
    assert.same({ wants_human = true, why = "tool_failed", turns = 1 }, ended(w))
  end)

  it("lets the model mend a call it made wrong", function()
    local w = greeted{ models = { calls("create_lead", { name = "Ann" }), says "I cannot do that." } }
    w:says("i want a roof"):pass(6000)
    has(w:spoken(), "I cannot do that.")
    assert.is_nil(w.result)
  end)

  it("runs no more tools in a turn than are of use", function()
    local function many()
      local list = {}
      for i = 1, 20 do list[i] = { id = "t" .. i, name = "create_lead", arguments = "{}" } end
      return { text = "", reason = "tools", tool_calls = list }
    end
    local w = greeted{ args = LEAD, models = { many, says "That is all." }, call = { verbs = { create_lead = function(call)
      call.made = (call.made or 0) + 1
      return nil, { code = "invalid", text = "not so" }
    end } } }
    w:says("i want a roof"):pass(6000)
    assert.equal(12, w.call.made)
    local messages = w.asked[2].messages
    has(messages[#messages].text, "too many calls")
    has(w:spoken(), "That is all.")
  end)

  it("transfers when the sentence before has been heard", function()
    local w = greeted{ args = { tools = { "transfer" } }, models = { calls("transfer", {}, "I am putting you through to sales now.") } }
    w:says("that is too hard for you"):pass(800)
    assert.is_nil(w.result)
    w:pass(6000)
    assert.same({ wants_human = true, why = "transfer", turns = 1 }, ended(w))
  end)

  -- The call was gone before the recogniser had written it down.
  it("stays when the caller has begun to say something before the end of that, and goes when he is glad of it", function()
    local function put_through(text)
      local w = greeted{ args = { tools = { "transfer" } }, models = { calls("transfer", {}, "I am putting you through to sales now."), says "Of course, what else?" } }
      w:says("that is too hard for you"):pass(2300 - 300)
      return w:says(text, 400):pass(4000)
    end
    local w = put_through("no wait")
    has(w:spoken(), "Of course, what else?")
    assert.is_nil(w.result)
    w = put_through("okay thanks")
    assert.equal("transfer", w.result.why)
    assert.equal("okay thanks", w:last("caller").text)
  end)

  it("puts him through, though its time is over while he is told so", function()
    local heard_at
    for seconds = 8, 13 do
      local w = greeted{ args = { tools = { "transfer" }, limit = { turns = 40, seconds = seconds } } }
      w:says("i want to speak to a human"):pass(12000)
      local is_told = w:spoken():find("put you through", 1, true)
      assert.equal(is_told and "asked_for" or "limit", w.result.why)
      heard_at = heard_at or is_told and seconds
    end
    assert.is_true(heard_at < 12, "its time was over while he was told")
  end)

  it("stays when the caller says something before he is put through", function()
    local w = greeted{ args = { tools = { "hangup" } }, models = { calls("hangup", {}, "Thank you very much for your call and goodbye."), says "Of course, what else?" } }
    w:says("that was all of it"):pass(500)
    w:says("wait", 400):pass(6000)
    has(w:spoken(), "Of course, what else?")
    assert.is_nil(w.result)
  end)

  it("is ended for a human when no model answers", function()
    local w = greeted{ models = { function() return nil, { class = "server", text = "down" } end } }
    w:says("what do you have"):pass(9000)
    assert.same({ wants_human = true, why = "no_answer", turns = 1 }, ended(w))
  end)

  it("fills the silence of a slow model, and gives it up", function()
    local w = greeted{ models = { never } }
    w:says("what do you have"):pass(5000)
    has(w:spoken(), "One moment, please.")
    w:pass(40000)
    has(w:spoken(), "that took too long")
  end)

  it("answers once what a caller says after a pause that was too long", function()
    local w = greeted{ models = { says "Yes indeed we do, and we have had them for a very long time.", says "A glass roof costs more than that." } }
    w:says("i want a roof"):pass(700)
    w:says("made of glass"):pass(9000)
    local turns = 0
    for _, line in ipairs(w.lines) do
      if line.party == "caller" then turns = turns + 1 end
    end
    assert.equal(1, turns)
    assert.equal("i want a roof made of glass", w:last("caller").text)
  end)
end)

describe("a conversation that ends in the midst", function()
  it("lets go of listener, recogniser, model, synthesiser, plays and clocks at any moment", function()
    for _, ms in ipairs{ 0, 200, 700, 1000, 1300, 1600, 2500, 5000 } do
      local cancelled
      local w = greeted{ models = { function(_, given)
        given.on_event{ type = "text", text = "We have roofs of all kinds, and they are good. " }
        given.cancel:watch(function() cancelled = true end)
        given.cancel:wait()
        return nil, { class = "cancelled", text = "cancelled" }
      end } }
      w:says("what do you have"):pass(ms)
      w.talk:close()
      w:pass(100)
      assert.is_true(w.closed.listener)
      for _, session in ipairs(w.sessions) do assert.is_true(session.cancelled) end
      assert.is_true(#w.asked == 0 or cancelled == true)
      assert.same({}, w.plays)
      for _, timer in ipairs(w.timers) do assert.is_true(timer.own or timer.fn == nil) end
      assert.is_nil(w.result)
      -- His text comes 100 ms after he is silent, and is not lost from then on.
      local parties = {}
      for i, line in ipairs(w.lines) do parties[i] = line.party end
      assert.same(ms < 100 and { "agent" } or { "agent", "caller", "agent" }, parties)
      if ms >= 2500 then has(w:last("agent").heard or w:last("agent").text, "We have roofs") end
    end
  end)

  it("loses neither the caller's last words nor what he heard of the answer when he hangs up", function()
    local w = greeted{ answers = ANSWERS }
    w:says("opening hours"):pass(2500)
    w.talk:close()
    assert.equal("opening hours", w:last("caller").text)
    local line = w:last("agent")
    has(line.heard, "We are open")
    assert.is_nil(line.heard:find("anything else", 1, true))
    has(line.text, "anything else")
    assert.equal(1, w.kept.turns)
  end)

  it("does not lose what the caller was saying when he hung up", function()
    local w = greeted{ answers = ANSWERS }
    w.talk:on_media("speech", 0, 0)
    w:pass(1000)
    w.sessions[1].give{ type = "partial", text = "i wanted to ask" }
    w:pass(100)
    w.talk:close()
    assert.equal("i wanted to ask", w:last("caller").text)
    assert.is_true(w:last("caller").began_ms < w:last("caller").ended_ms)
  end)

  it("counts and writes a turn that the last limit cuts off", function()
    local w = greeted{ models = { never }, args = { limit = { turns = 40, seconds = 10 } } }
    w:pass(4000):says("what do you have"):pass(100)
    w.talk:finish{ wants_human = false, why = "limit" }
    assert.equal("what do you have", w:last("caller").text)
    assert.same({ wants_human = false, why = "limit", turns = 1 }, ended(w))
  end)

  it("asks no model for a caller who hung up while it was looked whether there is one", function()
    for waits_at = 1, 2 do  -- for what is begun eagerly, and for the turn
      local gate, looked, stopped = promise.new(), 0, 0
      local w = greeted{ models = { function(_, given)
        given.cancel:wait()
        stopped = stopped + 1
        return nil, { class = "cancelled", text = "cancelled" }
      end }, has_model = function()
        looked = looked + 1
        if looked == waits_at then gate:wait() end
        return true
      end }
      w:says("what do you have"):pass(1000)
      assert.equal(waits_at, looked)
      w.talk:close()
      gate:give()
      w:pass(1000)
      assert.equal(waits_at - 1, #w.asked)
      assert.equal(waits_at - 1, stopped)
      for _, timer in ipairs(w.timers) do assert.is_true(timer.own or timer.fn == nil) end
    end
  end)

  it("leaves the last exchange to whoever takes the call up", function()
    local w = greeted{ answers = ANSWERS }
    local before = #w.lines
    w:says("opening hours"):pass(2500)
    w.talk:close(true)
    assert.equal(before, #w.lines)
  end)

  it("does not number its lines as an aside that was written after the last finished turn", function()
    local w = world.new{ answers = ANSWERS, kept = { line = 3, greeted = true }, first_line = 900 }:greeted()
    assert.equal(901, w.lines[1].n)
    w = world.new{ answers = ANSWERS, kept = { line = 1200, greeted = true }, first_line = 900 }:greeted()
    assert.equal(1201, w.lines[1].n)
  end)

  it("goes on after its last finished turn, and greets nobody twice", function()
    local first = greeted{ answers = ANSWERS, args = LEAD }
    first:says("opening hours"):pass(9000)
    local kept = json.decode(json.encode(first.kept))
    first:says("yes")  -- and then its worker dies
    local w = world.new{ answers = ANSWERS, args = LEAD, kept = kept }:greeted()
    assert.is_nil(w:spoken():find("How can I help you", 1, true))
    w:says("yes"):pass(8000)
    assert.same({ notes = "asked about: opening hours" }, w.leads[1].fields)
    assert.equal("k:lead", w.leads[1].key)
    assert.equal(2, w.kept.turns)
  end)

  it("keeps no card number for whoever takes it up", function()
    local w = greeted{ models = { says "Thank you." } }
    w:says("my card is 4111 1111 1111 1111"):pass(9000)
    assert.is_nil(json.encode(w.kept):find("4111", 1, true))
    has(json.encode(w.kept), "my card is")
  end)
end)

describe("a voice that fails", function()
  it("ends the conversation when nothing can be spoken", function()
    local w = world.new{ answers = ANSWERS, say = function()
      local events = { { type = "error", class = "server", text = "no voice" } }
      return { next = function() return table.remove(events, 1) end, cancel = function() end }
    end }
    assert(w.talk:begin{})
    w:pass(1000)
    assert.equal("no synthesiser could speak", w.result.failed)
  end)

  it("has its missing words said by another", function()
    local n = 0
    local w
    w = world.new{ answers = ANSWERS, args = { greeting = "One two three four five six seven." }, say = function(text)
      n = n + 1
      if n > 1 then return w:stream(text) end
      local events = { { type = "audio", pcm = ("\1\0"):rep(8000 * 1), rate = 8000 }, { type = "error", class = "network", text = "cut", given_ms = 1000 } }
      return { next = function() return table.remove(events, 1) end, cancel = function() end }
    end }
    w:greeted()
    local rest = w:spoken()
    assert.truthy(#rest > 0 and #rest < #"One two three four five six seven.", rest)
    has("One two three four five six seven.", rest:match("^%s*(.-)%s*$"))
    w:pass(6000)
    assert.equal("One two three four five six seven.", w:last("agent").text)
  end)
end)

describe("a recogniser that cannot be had", function()
  local NONE = { type = "error", class = "no_provider", text = "nobody listens" }

  it("was asked for no more, though something else was expected", function()
    local w = world.new{ answers = ANSWERS, args = { expect = "spelling" } }:greeted()
    assert.equal("open", w.sessions[1].asked.expect.kind)
    w.sessions[1].give(NONE)
    w:keys("5"):pass(8000)  -- is not understood, and a topic expected
    w:says("opening hours"):pass(3000)
    assert.equal("phrases", w.sessions[2].asked.expect.kind)
    has(w:spoken(), HOURS)
  end)

  it("is asked for again after a pause, and not in the midst of what is being said", function()
    local w = greeted{ answers = ANSWERS }
    w.sessions[1].give(NONE)
    w:says("prices", 4000)
    w.talk:on_media("speech", 0, 0)
    w.on_audio(("\1\0"):rep(800))
    assert.equal(1, #w.sessions)
    w:pass(500).on_audio(("\1\0"):rep(800))
    assert.equal(1, #w.sessions)
    w.talk:on_media("quiet", 0, 800)
    w.next_text = nil
    w:says("opening hours"):pass(3000)
    assert.equal(2, #w.sessions)
    has(w:spoken(), HOURS)
  end)
end)
