-- SPDX-License-Identifier: Apache-2.0
--- Conversations that a realtime model leads and whose script has tools, a rule and slots of its own, whose callers are angry, and what is kept of them.
local json = require "core.json"
local live = require "calls.talk.live"
local world = require "tests.lua.talk_world"

local PRICE = { name = "price", description = "What a roof costs.", run = true, parameters = { size = { type = "number", description = "square metres", optional = false } } }
local SLOTS = {
  { name = "code", kind = "digits", prompt = "What is your code?", digits = 4, confirm = true, optional = false },
  { name = "name", kind = "name", prompt = "What is your name?", confirm = true, optional = false },
}
local LOST = { class = "network", text = "gone" }

local function has(text, part) assert.truthy(text and text:find(part, 1, true), ("'%s' is not in '%s'"):format(part, tostring(text))) end

local function greeted(options)
  options.of = live
  local w = world.new(options)
  assert(w.talk:begin{})
  w:tell("ready", { provider = "p", model = "m" }):pass(6000)
  w:spoken()
  return w
end

local function calls(w, reply, id, name, arguments)
  return w:tell("tool", { reply = reply, id = id, name = name, arguments = json.encode(arguments), valid = true }):tell("turn_done", { reply = reply, reason = "tool" })
end

-- Results that the model was given: list of { id, value, is_error }.
local function results(w)
  local list = {}
  for _, one in ipairs(w.model.told) do
    if one[1] == "tool_result" then list[#list + 1] = { one[2], json.decode(one[3]), one[4] } end
  end
  return list
end

-- Who goes on without the model.
local function goes_on(w, options)
  options.kept, options.going = w.result.going.kept, w.result.going
  local other = world.new(options)
  assert(other.talk:begin{})
  return other
end

local function says(text)
  return function(_, given)
    if given.on_event then given.on_event{ type = "text", text = text } end
    return { text = text, tool_calls = {}, reason = "end" }
  end
end

describe("a tool of the script's own that a realtime model calls", function()
  it("is run where the script is, and the model is told what it gave", function()
    local w = greeted{ args = { tools = { PRICE } }, script = function() return { value = { dollars = 5000 } } end }
    assert.equal("What a roof costs.", w.model.asked.tools[1].description)
    w:says_to_model(1, "what does a roof cost")
    calls(w, 1, "c1", "price", { size = 40 }):replies(2, "Five thousand dollars.", 1000):pass(2000)
    assert.same({ { id = 1, tool = "price", given = { size = 40 } } }, w.questions)
    assert.same({ "c1", { result = { dollars = 5000 }, bound = true }, false }, results(w)[1])
    assert.same({ "what does a roof cost", "Five thousand dollars." }, { w.kept.history.turns[2].user, w.kept.history.turns[2].reply })
  end)

  it("has what was said in front of it with its question, for a successor", function()
    local w = greeted{ args = { tools = { PRICE } }, script = function() end }
    w:says_to_model(1, "what does a roof cost")
    calls(w, 1, "c1", "price", { size = 40 })
    assert.same({ id = 1, tool = "price", given = { size = 40 }, said = "what does a roof cost" }, w.asks:kept().open)
  end)

  it("is refused with what it does not take, without a question", function()
    local w = greeted{ args = { tools = { PRICE } }, script = function() error("it was asked") end }
    w:says_to_model(1, "what does a roof cost")
    calls(w, 1, "c1", "price", { size = "large" })
    assert.same({ "c1", { error = "size must be a number" }, true }, results(w)[1])
    assert.same({}, w.questions)
  end)

  it("puts the caller through when it breaks", function()
    local w = greeted{ args = { tools = { PRICE } }, script = function() return { broke = "flows/main.lua:9: secret" } end }
    w:says_to_model(1, "what does a roof cost")
    calls(w, 1, "c1", "price", { size = 40 }):pass(9000)
    has(w:spoken(), "something does not work on our side")
    assert.equal("tool_failed", w.result.why)
    assert.is_nil(json.encode(w.kept):find("secret", 1, true))
  end)

  it("that a predecessor had asked for stands in what the model is told first", function()
    local w = world.new{ of = live, args = { tools = { PRICE } }, script = function() error("it was asked again") end,
      kept = { greeted = true, asks = { last = 1, open = { id = 1, tool = "price", given = { size = 40 }, said = "what does it cost" } } }, told = { id = 1, value = 5000 } }
    assert(w.talk:begin{})
    local messages = w.model.asked.history
    assert.equal("what does it cost", messages[1].text)
    assert.equal("price", messages[2].tool_calls[1].name)
    assert.same({ result = 5000, bound = true }, json.decode(messages[3].text))
  end)

  it("that a predecessor had the answer of stands there too, before that of the turn's last", function()
    local w = greeted{ args = { tools = { PRICE } }, script = function(question) return question.id == 1 and { value = 5000 } or nil end }
    w:says_to_model(1, "what do they cost")
    w:tell("tool", { reply = 1, id = "c1", name = "price", arguments = '{"size":4}', valid = true }):tell("tool", { reply = 1, id = "c2", name = "price", arguments = '{"size":8}', valid = true })
    local kept = json.decode(json.encode(w.asks:kept()))
    local after = world.new{ of = live, args = { tools = { PRICE } }, script = function() end, kept = { greeted = true, asks = kept }, told = { id = 2, value = 9000 } }
    assert(after.talk:begin{})
    local told = after.model.asked.history
    assert.same({ 5000, 9000 }, { json.decode(told[3].text).result, json.decode(told[5].text).result })
    assert.equal(2, #after.kept.history.turns)
  end)

  it("is kept as a question no more when its exchange is over", function()
    local w = greeted{ args = { tools = { PRICE } }, script = function() return { value = 5000 } end }
    w:says_to_model(1, "what does a roof cost")
    calls(w, 1, "c1", "price", { size = 40 })
    assert.equal(1, #w.asks:kept().done)
    w:replies(2, "Five thousand dollars.", 1000):pass(3000)
    assert.is_nil(w.asks:kept().done)
  end)

  it("is not asked for again when the model is lost meanwhile: who goes on has the answer when it comes", function()
    local w = greeted{ args = { tools = { PRICE } }, script = function() end }
    w:says_to_model(1, "what does a roof cost")
    calls(w, 1, "c1", "price", { size = 40 }):tell("error", LOST):pass(100)
    assert.is_true(w.result.going.again)
    local other = goes_on(w, { args = { tools = { PRICE } }, models = { says "Five thousand." }, script = function() error("it was asked again") end })
    has(other:spoken(), "Please say that again.")
    local function told()
      local messages = other.talk.history:messages("well")
      for i, message in ipairs(messages) do
        if message.tool_calls then return messages[i - 1].text, messages[i + 1].tool_call_id, json.decode(messages[i + 1].text), messages[i + 1].is_error end
      end
    end
    assert.same({ "what does a roof cost", "c1", { error = "it is not known yet what came of it" }, true }, { told() })
    assert.is_true(w.asks:tell{ id = 1, value = 5000 })
    assert.same({ "what does a roof cost", "c1", { result = 5000, bound = true } }, { told() })
    other:pass(5000):says("what does a roof cost"):pass(5000)
    has(other:spoken(), "Five thousand.")
    local result
    for _, message in ipairs(other.asked[1].messages) do result = message.role == "tool" and message or result end
    assert.same({ result = 5000, bound = true }, json.decode(result.text))
  end)
end)

describe("a rule of the script's own, where a realtime model leads", function()
  it("is asked of each turn once, by his words or by keys", function()
    local w = greeted{ args = { escalate = true }, script = function() return {} end }
    w:says_to_model(1, "do you have roofs"):replies(1, "We do.", 500):pass(1500)
    w:keys("12#"):replies(2, "Thank you.", 500):pass(1500)
    w:tell("speech_started", { turn = 3 }):tell("user_text", { turn = 3, text = "what a" }):tell("speech_ended"):replies(3, "Pardon?", 500):pass(3000)
    assert.equal(3, #w.questions)
    assert.same({ 1, "do you have roofs", "neutral", false, 0 }, { w.questions[1].given.n, w.questions[1].given.text, w.questions[1].given.sentiment,
      w.questions[1].given.angry, w.questions[1].given.misunderstood })
    assert.same({ 2, "", "12" }, { w.questions[2].given.n, w.questions[2].given.text, w.questions[2].given.keys })
    assert.same({ 3, "what a" }, { w.questions[3].given.n, w.questions[3].given.text })
    assert.is_true(w.questions[3].given.seconds >= 5)
    assert.is_nil(w.result)
  end)

  it("is asked of no turn under a number that another one had, by whoever takes the call up or goes on without the model", function()
    local function numbers(w)
      local list = {}
      for _, one in ipairs(w.questions) do list[#list + 1] = one.given.n end
      for _, line in ipairs(w.lines) do list[#list + 1] = line.timeline and "line " .. line.timeline.turn end
      return list
    end
    local function kept_of(w)
      local kept = json.decode(json.encode(w.kept))
      kept.asks = json.decode(json.encode(w.asks:kept()))
      return kept
    end
    local w = greeted{ args = { escalate = true }, script = function() return {} end }
    w:says_to_model(1, "do you"):says_to_model(2, "have roofs"):replies(1, "We do.", 500):pass(1500)
    w:says_to_model(3, "what is the price")
    assert.same({ 1, 2, 3, "line 1" }, numbers(w))
    local after = greeted{ args = { escalate = true }, kept = kept_of(w), script = function() return {} end }
    after:says_to_model(1, "what is the price"):replies(1, "Ten.", 500):pass(1500)
    after:tell("agent_text", { reply = 2, text = "Still there?" }):replies(2, "", 500):pass(1500)
    after:says_to_model(2, "and a large one"):replies(3, "Twenty.", 500):pass(1500)
    assert.same({ 4, 5, "line 4", "line 0", "line 5" }, numbers(after))
    assert.equal(3, after.kept.turns)
    after:tell("error", LOST):pass(100)
    local options = { args = { escalate = true }, answers = { prices = "Ten." }, script = function() return {} end }
    options.kept, options.going = after.result.going.kept, after.result.going
    local other = world.new(options)
    assert(other.talk:begin{})
    other:pass(6000):says("prices"):pass(6000)
    assert.equal("line 6", numbers(other)[#numbers(other)])
  end)

  it("is told no more of a turn than there is room for", function()
    local w = greeted{ args = { escalate = true }, script = function() return {} end }
    w:says_to_model(1, ("grün "):rep(8000))
    local text = w.questions[1].given.text
    assert.is_true(#text > 3900 and #text <= 4096 and pcall(json.encode, text))
  end)

  it("puts the caller through with its reason, and the model says nothing more", function()
    local w = greeted{ args = { escalate = true }, script = function() return { value = "speaks of a lawyer" } end }
    w:says_to_model(1, "my lawyer will call you")
    has(w:spoken(), "put you through")
    w:replies(1, "Please do.", 1000):pass(6000)
    assert.same({ true, "rule", "speaks of a lawyer" }, { w.result.wants_human, w.result.why, w.result.reason })
    assert.is_nil(w:last("agent").text:find("Please do", 1, true))
  end)

  it("cuts the model off when it says so late", function()
    local w = greeted{ args = { escalate = true }, script = function() end }
    w:says_to_model(1, "my lawyer will call you"):replies(1, "Please tell him that we are looking forward to hearing from him.", 6000):pass(2000)
    w.asks:tell{ id = 1, value = true }
    w:pass(8000)
    assert.equal("rule", w.result.why)
    assert.is_nil(w.result.reason)
  end)

  it("is kept for whoever takes the call up while it is done, and no more when the caller stays", function()
    local w = greeted{ args = { escalate = true, tools = { "hangup" } }, script = function() end }
    w:says_to_model(1, "my lawyer will call you")
    w:tell("agent_text", { reply = 1, text = "Goodbye then, and thank you." }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(32000) })
    calls(w, 1, "c1", "hangup", {}):pass(1000)
    w.asks:tell{ id = 1, value = "lawyer" }
    has(w:spoken(), "put you through")
    assert.equal("lawyer", w.asks:kept().done[1].value)
    w:pass(500)
    local kept = w.kept
    w:says_to_model(2, "no wait")
    assert.is_nil(w.asks:kept().done)
    assert.are_not.equal(kept, w.kept)  -- and is written
    w:replies(2, "Of course, what else?", 1000):pass(9000)
    assert.is_nil(w.result)
  end)

  it("puts him through with whoever takes the call up behind its word", function()
    local w = world.new{ of = live, args = { escalate = true }, script = function() end, kept = { greeted = true, asks = { last = 1, open = { id = 1, said = "my lawyer" } } },
      told = { id = 1, value = "lawyer" } }
    assert(w.talk:begin{})
    w:tell("ready", { provider = "p", model = "m" }):pass(9000)
    has(w:spoken(), "put you through")
    assert.same({ "rule", "lawyer", true }, { w.result.why, w.result.reason, w.result.wants_human })
  end)

  it("puts him through whoever leads by then", function()
    local w = greeted{ args = { escalate = true }, script = function() end }
    w:says_to_model(1, "my lawyer will call you")
    w:tell("agent_text", { reply = 1, text = "Please" }):tell("audio", { reply = 1, pcm = ("\1\0"):rep(800) }):tell("turn_done", { reply = 1, reason = "lost" })
    w:tell("error", LOST):pass(1000)
    local other = goes_on(w, { args = { escalate = true }, script = function() end })
    other:pass(5000)
    assert.is_nil(other.result)
    w.asks:tell{ id = 1, value = "speaks of a lawyer" }
    other:pass(8000)
    assert.same({ "rule", "speaks of a lawyer" }, { other.result.why, other.result.reason })
  end)
end)

describe("an angry caller of a realtime model", function()
  it("is put through at once when his words say so", function()
    local w = greeted{}
    w:says_to_model(1, "you are all idiots")
    has(w:spoken(), "I am sorry about that")
    w:pass(8000)
    assert.equal("anger", w.result.why)
    assert.equal("negative", w:last("caller").sentiment)
    assert.equal("negative", w.result.sentiment)
  end)

  it("is put through when he is annoyed twice in a row, before and behind the model's loss", function()
    local w = greeted{}
    w:says_to_model(1, "this is ridiculous"):replies(1, "I see.", 500):pass(2000)
    assert.is_nil(w.result)
    w:says_to_model(2, "ridiculous"):pass(8000)
    assert.equal("anger", w.result.why)
    w = greeted{}
    w:says_to_model(1, "this is ridiculous"):replies(1, "I see.", 500):pass(2000):tell("error", LOST)
    local other = goes_on(w, { answers = {} })
    other:pass(3000):says("ridiculous"):pass(9000)
    assert.equal("anger", other.result.why)
  end)

  it("is not where the script does not want that", function()
    local w = greeted{ args = { anger = false } }
    w:says_to_model(1, "you are all idiots"):replies(1, "I see.", 500):pass(3000)
    assert.is_nil(w.result)
  end)
end)

describe("slots that a realtime model is to fill", function()
  it("are asked for, written down by its tool, and the conversation is over when all are there and it has said so", function()
    local w = world.new{ of = live, args = { slots = SLOTS } }
    assert(w.talk:begin{})
    has(w:spoken(), "How can I help you? What is your code?")
    has(w.model.asked.instructions, '- name: "What is your name?"')
    assert.equal("fill", w.model.asked.tools[1].name)
    w:tell("ready", { provider = "p", model = "m" }):pass(6000)
    w:keys("1234"):pass(4000)
    calls(w, 1, "c1", "fill", { code = "1234" })
    assert.same({ known = { code = "1234" }, complete = false }, results(w)[1][2])
    w:replies(2, "And your name?", 800):pass(1500)
    w:says_to_model(2, "ann")
    calls(w, 3, "c2", "fill", { name = "Ann" })
    assert.is_nil(w.result)
    w:replies(4, "Thank you, Ann.", 800):pass(2000)
    assert.same({ false, "filled", { code = "1234", name = "Ann" } }, { w.result.wants_human, w.result.why, w.result.slots })
    assert.equal("Thank you, Ann.", w:last("agent").text)
  end)

  it("ask for keys until the numbers among them are there, or as long as the greeting asks for digits", function()
    local w = greeted{ args = { slots = SLOTS } }
    assert.is_true(w.asks_keys)
    w:says_to_model(1, "one two three four")
    calls(w, 1, "c1", "fill", { code = "1234" }):replies(2, "And your name?", 800):pass(2000)
    assert.is_false(w.asks_keys)
    w = greeted{ args = { expect = "digits" } }
    assert.is_true(w.asks_keys)
    w:keys("1234#"):replies(1, "Thank you.", 800):pass(2000)
    assert.is_false(w.asks_keys)
    assert.is_false(greeted{ args = {} }.asks_keys)
  end)

  it("are not over when the caller speaks on", function()
    local w = greeted{ args = { slots = { SLOTS[2] } } }
    w:says_to_model(1, "ann")
    calls(w, 1, "c1", "fill", { name = "Ann" }):tell("agent_text", { reply = 2, text = "Thank you, Ann. That is all." })
    w:tell("audio", { reply = 2, pcm = ("\1\0"):rep(16000) }):pass(500)
    w:says_to_model(2, "no anna")
    assert.is_nil(w.result)
    calls(w, 3, "c2", "fill", { name = "Anna" }):replies(4, "Anna.", 500):pass(2000)
    assert.same({ "filled", { name = "Anna" } }, { w.result.why, w.result.slots })
  end)

  it("that are not there yet are asked for by who goes on, the others not", function()
    local w = greeted{ args = { slots = SLOTS } }
    w:says_to_model(1, "one two three four")
    calls(w, 1, "c1", "fill", { code = "1234" }):replies(2, "And your name?", 800):pass(2000):tell("error", LOST)
    local other = goes_on(w, { args = { slots = SLOTS }, answers = {} })
    other:pass(2000):says("ann"):pass(6000)
    has(other:spoken(), "I have understood: ann. Is that right?")
    other:says("yes"):pass(6000)
    assert.same({ "filled", { code = "1234", name = "ann" } }, { other.result.why, other.result.slots })
  end)

  it("that may be left out are asked for, too, by their tool or until nothing more comes of it", function()
    for _, says_so in ipairs{ true, false } do
      local w = greeted{ args = { slots = { SLOTS[1], { name = "note", kind = "text", prompt = "Anything else?", optional = true } } } }
      w:says_to_model(1, "one two three four")
      calls(w, 1, "c1", "fill", { code = "1234" }):replies(2, "Anything else?", 800):pass(2000)
      assert.is_nil(w.result)
      w:says_to_model(2, "no")
      if says_so then
        calls(w, 3, "c2", "fill", { left_out = "note" }):replies(4, "Good.", 500):pass(2000)
      else
        w:replies(3, "Really not?", 500):pass(2000)
        assert.is_nil(w.result)
        w:says_to_model(3, "no"):replies(4, "Good.", 500):pass(2000)
      end
      assert.same({ "filled", { code = "1234" } }, { w.result.why, w.result.slots })
    end
  end)

  it("that may all be left out are no reason to end it at once", function()
    local w = greeted{ args = { slots = { { name = "note", kind = "text", prompt = "Anything else?", optional = true } } } }
    w:says_to_model(1, "hello there"):replies(1, "Good day.", 500):pass(2000)
    assert.is_nil(w.result)
  end)

  it("that are all there end it, whoever goes on", function()
    local kept = { greeted = true, desk = { slots = { at = 3, misses = 0, values = { code = "1234", name = "Ann" } } } }
    for _, of in ipairs{ live, require "calls.talk" } do
      local w = world.new{ of = of, args = { slots = SLOTS }, kept = json.decode(json.encode(kept)) }
      assert(w.talk:begin{})
      w:pass(6000)
      has(w:spoken(), "I have written that down")
      assert.same({ "filled", { code = "1234", name = "Ann" } }, { w.result.why, w.result.slots })
    end
  end)
end)

describe("a conversation with a realtime model that is over", function()
  it("has a summary and a sentiment, and a model may be asked for a better one", function()
    local w = greeted{ args = { tools = { "create_lead" } }, models = { says "Ann wants a roof." } }
    w:says_to_model(1, "the roof is terrible i want another")
    calls(w, 1, "c1", "create_lead", { name = "Ann" }):replies(2, "I have written that down.", 1000):pass(2500)
    w:says_to_model(2, "speak to a human"):pass(8000)
    for _, part in ipairs{ '"the roof is terrible i want another"', "Done: create_lead.", "Lead: ld_1.", "asked for a human", "sounded negative" } do has(w.result.summary, part) end
    assert.equal("Ann wants a roof.", w.result.ask_summary().text)
  end)

  it("asks no model for it where there is none that is asked in writing", function()
    local w = greeted{}
    w:says_to_model(1, "speak to a human"):pass(8000)
    assert.is_nil(w.result.ask_summary())
  end)
end)
