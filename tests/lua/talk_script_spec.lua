-- SPDX-License-Identifier: Apache-2.0
--- Conversations whose script has tools and a rule of its own, whose callers are angry, and what is kept of them.
local history = require "calls.talk.history"
local json = require "core.json"
local summary = require "calls.talk.summary"
local world = require "tests.lua.talk_world"

local PRICE = { name = "price", description = "What a roof costs.", run = true, parameters = {
  size = { type = "number", description = "square metres", optional = false }, colour = { type = "string", enum = { "red", "blue" }, optional = true } } }

local function has(text, part) assert.truthy(text:find(part, 1, true), ("'%s' is not in '%s'"):format(part, text)) end

local function greeted(options)
  local w = world.new(options):greeted()
  w:spoken()
  return w
end

local function says(text)
  return function(_, given)
    for word in text:gmatch("%S+%s*") do
      if given.on_event then given.on_event{ type = "text", text = word } end
    end
    return { text = text, tool_calls = {}, reason = "end" }
  end
end

local function calls(name, arguments)
  return function() return { text = "", reason = "tools", tool_calls = { { id = "t1", name = name, arguments = json.encode(arguments) } } } end
end

-- What the model was told of its tool.
local function told_of_tool(w)
  local messages = w.asked[#w.asked].messages
  local last = messages[#messages]
  assert.equal("tool", last.role)
  return json.decode(last.text), last.is_error
end

describe("a tool of the script's own", function()
  it("is run where the script is, and the model says what it gave", function()
    local w = greeted{ args = { tools = { PRICE } }, models = { calls("price", { size = 40 }), says "That costs five thousand dollars." },
      script = function() return { value = { dollars = 5000 } } end }
    w:says("what does a roof cost"):pass(6000)
    assert.same({ { id = 1, tool = "price", given = { size = 40 } } }, w.questions)
    assert.same({ result = { dollars = 5000 }, bound = true }, told_of_tool(w))
    has(w:spoken(), "five thousand dollars")
    local tool = w.asked[1].tools[1]
    assert.equal("What a roof costs.", tool.description)
    assert.same({ "size" }, tool.parameters.required)
    assert.same({ "red", "blue" }, tool.parameters.properties.colour.enum)
  end)

  it("is not asked with what it does not take, and the model may mend it", function()
    for arguments, why in pairs{ ['{}'] = "size is missing", ['{"size":"large"}'] = "size must be a number", ['{"size":4,"colour":"green"}'] = "colour must be one of red, blue" } do
      local w = greeted{ args = { tools = { PRICE } }, models = { function()
        return { text = "", reason = "tools", tool_calls = { { id = "t1", name = "price", arguments = arguments } } }
      end, says "How large is it?" }, script = function() error("it was asked") end }
      w:says("what does a roof cost"):pass(6000)
      assert.same({ error = why }, told_of_tool(w))
      has(w:spoken(), "How large is it?")
      assert.same({}, w.questions)
    end
  end)

  it("that refuses tells the model why", function()
    local w = greeted{ args = { tools = { PRICE } }, models = { calls("price", { size = 900 }), says "An engineer will call you." },
      script = function() return { refused = "too large" } end }
    w:says("what does a roof cost"):pass(6000)
    local result, is_error = told_of_tool(w)
    assert.same({ error = "too large" }, result)
    assert.is_true(is_error)
    assert.is_nil(w.result)
  end)

  it("that breaks puts the caller through, and no word of its error is told", function()
    local w = greeted{ args = { tools = { PRICE } }, models = { calls("price", { size = 40 }) }, script = function() return { broke = "flows/main.lua:9: secret" } end }
    w:says("what does a roof cost"):pass(12000)
    has(w:spoken(), "something does not work on our side")
    assert.equal("tool_failed", w.result.why)
    assert.is_nil(json.encode(w.kept):find("secret", 1, true))
  end)

  it("that never answers puts him through too", function()
    local w = greeted{ args = { tools = { PRICE } }, models = { calls("price", { size = 40 }) }, script = function() end }
    w:says("what does a roof cost"):pass(25000)
    assert.equal("tool_failed", w.result.why)
  end)

  it("that a predecessor had run is in the history of whoever takes the call up", function()
    local w = world.new{ args = { tools = { PRICE } }, models = { says "It costs five thousand." }, script = function() error("it was asked again") end,
      kept = { greeted = true, asks = { last = 1, open = { id = 1, tool = "price", given = { size = 40 }, said = "what does it cost" } } }, told = { id = 1, value = 5000 } }
    assert(w.talk:begin{})
    w:pass(5000):says("so what does it cost"):pass(6000)
    local messages = w.asked[1].messages
    assert.equal("what does it cost", messages[1].text)
    assert.equal("price", messages[2].tool_calls[1].name)
    assert.same({ result = 5000, bound = true }, json.decode(messages[3].text))
  end)
end)

describe("whoever takes a call up in the midst of a turn with tools", function()
  local BOOK = { name = "book", description = "Books a day.", run = true, parameters = { day = { type = "string", optional = false } } }

  local function two()
    return { text = "", reason = "tools", tool_calls = { { id = "t1", name = "book", arguments = '{"day":"Monday"}' }, { id = "t2", name = "price", arguments = '{"size":4}' } } }
  end

  it("knows of all that was answered, though the last had no answer yet", function()
    local w = greeted{ args = { tools = { PRICE, BOOK } }, models = { two }, script = function(question) return question.tool == "book" and { value = "booked" } or nil end }
    w:says("book monday and tell me the price"):pass(3000)
    local kept = json.decode(json.encode(w.asks:kept()))
    assert.equal("price", kept.open.tool)
    local after = world.new{ args = { tools = { PRICE, BOOK } }, models = { says "All done." }, script = function() error("it was asked again") end,
      kept = { greeted = true, asks = kept }, told = { id = 2, value = 5000 } }
    assert(after.talk:begin{})
    -- At once, for the next one.
    assert.equal(2, #after.kept.history.turns)
    after:pass(5000):says("well"):pass(6000)
    local messages = after.asked[1].messages
    assert.equal("book monday and tell me the price", messages[1].text)
    assert.same({ "book", "price" }, { messages[2].tool_calls[1].name, messages[4].tool_calls[1].name })
    assert.same({ result = "booked", bound = true }, json.decode(messages[3].text))
    assert.same({ result = 5000, bound = true }, json.decode(messages[5].text))
  end)

  it("is told of none twice: what stands in the history is kept as a question no more", function()
    local w = greeted{ args = { tools = { PRICE } }, models = { calls("price", { size = 4 }), says "Five thousand." }, script = function() return { value = 5000 } end }
    w:says("what does it cost"):pass(6000)
    assert.equal(2, #w.kept.history.turns)
    assert.is_nil(w.asks:kept().done)
  end)

  it("puts him through when the rule had said so, to a predecessor or to him", function()
    for _, asked in ipairs{ { kept = { last = 1, open = { id = 1, said = "my lawyer" } }, told = { id = 1, value = "lawyer" } },
      { kept = { last = 1, done = { { id = 1, said = "my lawyer", value = "lawyer" } } } } } do
      local w = world.new{ args = { escalate = true }, models = { says "Never." }, script = function() end, kept = { greeted = true, asks = asked.kept }, told = asked.told }
      assert(w.talk:begin{})
      w:pass(9000)
      has(w:spoken(), "put you through")
      assert.same({ "rule", "lawyer" }, { w.result.why, w.result.reason })
      has(w.result.summary, "my lawyer")
    end
  end)
end)

describe("a tool whose turn is cut off before it has answered", function()
  it("has a result for the model all the same, until its own comes", function()
    local told, steps = history.new(), { { role = "assistant", text = "", tool_calls = { { id = "a", name = "price", arguments = "{}" }, { id = "b", name = "price", arguments = "{}" } } },
      { role = "tool", tool_call_id = "a", text = "{}" } }
    told:add("what does it cost", steps, "", false)
    local messages = told:messages("well")
    assert.same({ "user", "assistant", "tool", "tool", "user" }, { messages[1].role, messages[2].role, messages[3].role, messages[4].role, messages[5].role })
    assert.equal("b", messages[4].tool_call_id)
    steps[3] = { role = "tool", tool_call_id = "b", text = "[7]" }
    assert.equal("[7]", told:messages("well")[4].text)
  end)
end)

-- The numbers of the turns that our lines answer.
local function numbered(w)
  local list = {}
  for _, line in ipairs(w.lines) do list[#list + 1] = line.timeline and line.timeline.turn end
  return list
end

describe("a rule of the script's own", function()
  it("is asked of each turn, and may put the caller through with a reason", function()
    local w = greeted{ args = { escalate = true }, models = { says "We do.", says "No." }, script = function(question)
      return { value = question.given.text:find("lawyer", 1, true) and "speaks of a lawyer" or nil }
    end }
    w:says("do you have roofs"):pass(6000)
    assert.is_nil(w.result)
    w:says("my lawyer will call you"):pass(9000)
    has(w:spoken(), "put you through")
    assert.is_true(w.result.wants_human)
    assert.equal("rule", w.result.why)
    assert.equal("speaks of a lawyer", w.result.reason)
    local turn = w.questions[2].given
    assert.equal(2, turn.n)
    assert.equal("neutral", turn.sentiment)
    assert.is_false(turn.angry)
  end)

  it("is asked of no turn under a number that another one had, though its worker died before that was answered", function()
    local args = { escalate = true }
    local w = greeted{ args = args, models = { says "We do.", says "That depends on how large it is, and on where you live." }, script = function() return {} end }
    w:says("do you have roofs"):pass(6000):says("what is the price"):pass(500)
    assert.same({ 1, 2 }, { w.questions[1].given.n, w.questions[2].given.n })
    local kept = json.decode(json.encode(w.kept))
    kept.asks = json.decode(json.encode(w.asks:kept()))
    w.talk:close(true)
    local after = world.new{ args = args, models = { says "Ten.", says "Of course." }, kept = kept, script = function() return {} end }
    assert(after.talk:begin{})
    after:pass(6000):says("what is the price"):pass(6000):says("and a large one"):pass(6000)
    assert.same({ 3, 4 }, { after.questions[1].given.n, after.questions[2].given.n })
    assert.same({ 0, 1 }, numbered(w))
    assert.same({ 0, 3, 4 }, numbered(after))
    assert.equal(3, after.kept.turns)
  end)

  it("counts without a model, too", function()
    local w = greeted{ args = { escalate = true }, answers = { prices = "Ten." }, script = function() return { value = true } end }
    w:says("prices"):pass(9000)
    assert.equal("rule", w.result.why)
    assert.is_nil(w.result.reason)
  end)

  it("that says neither true nor why puts nobody through", function()
    for _, value in ipairs{ "", 7, {}, false } do
      local w = greeted{ args = { escalate = true }, models = { says "We do." }, script = function() return { value = value } end }
      w:says("do you have roofs"):pass(9000)
      has(w:spoken(), "We do.")
      assert.is_nil(w.result)
    end
  end)

  it("has nothing to do with what a tool gave to a predecessor", function()
    local w = world.new{ args = { escalate = true, tools = { PRICE } }, models = { says "Well." }, script = function() end,
      kept = { greeted = true, asks = { last = 1, open = { id = 1, tool = "price", given = { size = 4 }, said = "what does it cost" } } }, told = { id = 1, value = true } }
    assert(w.talk:begin{})
    w:pass(9000)
    assert.is_nil(w.result)
  end)

  it("that breaks puts nobody through", function()
    local w = greeted{ args = { escalate = true }, models = { says "We do." }, script = function() return { broke = "x" } end }
    w:says("do you have roofs"):pass(6000)
    has(w:spoken(), "We do.")
    assert.is_nil(w.result)
  end)

  it("that takes long is not waited for, and counts when it comes", function()
    local w = greeted{ args = { escalate = true }, models = { says "We do." }, script = function() end }
    w:says("do you have roofs"):pass(6000)
    has(w:spoken(), "We do.")
    assert.is_nil(w.result)
    w.asks:tell{ id = 1, value = "late" }
    w:pass(9000)
    assert.equal("rule", w.result.why)
    assert.equal("late", w.result.reason)
  end)

  it("that says so late tells nobody twice who is being put through", function()
    local w = greeted{ args = { escalate = true }, models = { says "We do." }, script = function() end }
    w:says("do you have roofs"):pass(6000)
    w:spoken()
    w:says("i want to speak to a human"):pass(700)
    w.asks:tell{ id = 1, value = "late" }
    w:pass(9000)
    local _, times = w:spoken():gsub("put you through", "")
    assert.same({ 1, "asked_for", nil }, { times, w.result.why, w.result.reason })
  end)

  it("counts no more when the caller has stayed, not with whoever takes the call up either", function()
    local asked = 0
    local w = greeted{ args = { escalate = true }, models = { says "Of course, what else?" }, script = function()
      asked = asked + 1
      return { value = asked == 1 and "lawyer" or nil }
    end }
    w:says("my lawyer will call you"):pass(1000)
    has(w:spoken(), "put you through")
    assert.equal("lawyer", w.asks:kept().done[1].value)
    w:pass(700):says("no wait i have a question")
    while w.talk.leaving and not w.result do w:pass(10) end  -- and at once, for the next answer is not heard for a while
    assert.is_nil(w.asks:kept().done)
    w:pass(9000)
    has(w:spoken(), "Of course")
    assert.is_nil(w.result)
  end)
end)

describe("an angry caller", function()
  it("is put through at once when his words say so", function()
    local w = greeted{ models = { says "Never." } }
    w:says("you are all idiots"):pass(9000)
    has(w:spoken(), "I am sorry about that")
    assert.equal("anger", w.result.why)
    assert.equal("negative", w:last("caller").sentiment)
  end)

  it("is put through when he is annoyed twice in a row", function()
    local w = greeted{ answers = { prices = "Ten." } }
    w:says("this is ridiculous"):pass(9000)
    assert.is_nil(w.result)
    w:says("ridiculous"):pass(9000)
    assert.equal("anger", w.result.why)
  end)

  it("is put through behind the answer when the model says that he sounds so", function()
    local w = greeted{ models = { says "<angry> I understand you." } }
    w:says("so that is how it is"):pass(9000)
    local spoken = w:spoken()
    has(spoken, "I understand you.")
    assert.is_nil(spoken:find("<", 1, true))
    assert.equal("anger", w.result.why)
  end)

  it("is not where the script does not want that", function()
    local w = greeted{ args = { anger = false }, models = { says "Never." } }
    w:says("you are all idiots"):pass(9000)
    assert.is_nil(w.result)
  end)
end)

describe("what a model says of the caller", function()
  it("stands with his line, is not spoken, and is told to the model again", function()
    local w = greeted{ models = { says "<positive> Good to hear.", says "<neutral> At nine." } }
    w:says("i got the roof last week"):pass(6000)
    assert.equal("positive", w:last("caller").sentiment)
    assert.equal("Good to hear.", w:last("agent").text)
    w:says("when do you open"):pass(6000)
    local messages = w.asked[2].messages
    assert.equal("<positive> Good to hear.", messages[#messages - 1].text)
    has(w.asked[1].system, "<unclear>")
  end)

  it("puts him through when it made no sense of him twice", function()
    local w = greeted{ models = { says "<unclear> What do you mean?" } }
    w:says("the the of a"):pass(6000)
    assert.is_nil(w.result)
    w:says("of the a"):pass(9000)
    assert.equal("not_understood", w.result.why)
  end)

  it("asks again when it said nothing else", function()
    local w = greeted{ models = { says "<neutral>" } }
    w:says("hello there"):pass(6000)
    has(w:spoken(), "I did not understand that")
  end)
end)

describe("a conversation that is over", function()
  it("has a summary and a sentiment, and a model may be asked for a better one", function()
    local w = greeted{ args = { tools = { "create_lead" } }, models = { calls("create_lead", { name = "Ann", interest = "a roof" }), says "<negative> I have written that down.",
      says "Ann wants a roof." } }
    w:says("the roof is terrible i want another"):pass(6000)
    w:says("speak to a human"):pass(9000)
    local result = w.result
    assert.equal("negative", result.sentiment)
    for _, part in ipairs{ '"the roof is terrible i want another"', "Done: create_lead.", "Lead: ld_1.", "asked for a human", "sounded negative" } do has(result.summary, part) end
    local answer = result.ask_summary()
    has(w.asked[#w.asked].messages[1].text, "Caller: the roof is terrible")
    assert.equal("Ann wants a roof.", summary.of_answer(answer.text))
  end)

  it("that had no word has no summary", function()
    local w = greeted{}
    w:pass(60000)
    assert.is_nil(w.result.summary)
    assert.equal("neutral", w.result.sentiment)
  end)

  it("has no card's number in its summary", function()
    local w = greeted{ models = { says "Thank you." } }
    w:says("my card is 4111 1111 1111 1111"):pass(6000)
    w:says("speak to a human"):pass(9000)
    assert.is_nil(w.result.summary:find("4111", 1, true))
  end)

  it("has none either of a card that was told over several turns", function()
    local w = greeted{ models = { says "Go on.", says "Thank you.", says "Sum." } }
    w:says("my card is 4111 1111"):pass(6000)
    w:says("1111 1111"):pass(6000)
    w:says("speak to a human"):pass(9000)
    has(w.result.summary, '"my card is [CARD]" "[CARD]"')
    w.result.ask_summary()
    assert.is_nil(w.asked[#w.asked].messages[1].text:find("1111", 1, true))
  end)
end)

describe("a long history", function()
  it("tells its older turns in short, within bounds, and keeps them for a successor", function()
    local long = history.new()
    for i = 1, 60 do
      long:add("i said " .. i, i == 2 and { { role = "assistant", text = "", tool_calls = { { id = "a", name = "price", arguments = "{}" } } },
        { role = "tool", tool_call_id = "a", text = "{}" } } or nil, "answer " .. i, true)
    end
    local messages = long:messages("and now")
    has(messages[1].text, "36 turns")
    has(messages[1].text, "i said 2 [price] / i said 3")
    assert.equal("and now", messages[#messages].text)
    assert.same(messages, history.new(json.decode(json.encode(long:kept()))):messages("and now"))
    for _ = 1, 200 do long:add(("x"):rep(500), nil, "y", true) end
    assert.is_true(#long:messages("z")[1].text < 4096)
  end)
end)

describe("a summary without a model", function()
  it("has the first, the last and the longest of what was said", function()
    local told = history.new()
    for _, text in ipairs{ "first", "a", "the longest of them all", "b", "somewhat longer", "c", "last" } do told:add(text, nil, "mm", true) end
    has(summary.short(told, {}), '"first" "the longest of them all" "somewhat longer" "last"')
  end)
end)
