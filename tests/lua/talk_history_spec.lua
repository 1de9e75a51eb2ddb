-- SPDX-License-Identifier: Apache-2.0
--- What a model is told of the turns before: whatever another model, or its tools, made of them.
local history = require "calls.talk.history"
local request = require "ai.request"

-- The messages of tools: calls of these names, each with a result of that text.
local function used(names, text)
  local steps = {}
  for i, name in ipairs(names) do
    steps[#steps + 1] = { role = "assistant", text = "", tool_calls = { { id = "c" .. i, name = name, arguments = "{}" } } }
    steps[#steps + 1] = { role = "tool", tool_call_id = "c" .. i, text = text }
  end
  return steps
end

local function called_in(messages)
  local names = {}
  for _, message in ipairs(messages) do
    for _, call in ipairs(message.tool_calls or {}) do names[#names + 1] = call.name end
  end
  return names
end

describe("what was said before", function()
  it("can be asked about though a model called what no tool is called", function()
    local of = history.new()
    of:add("what do you have", used({ "multi_tool_use.parallel", ("x"):rep(200), "" }, '{"error":"there is no such tool"}'), "Roofs.", true)
    local messages = of:messages("and what else", used({ "functions.price" }, "{}"))
    assert.same({ "multi_tool_use_parallel", ("x"):rep(64), "tool", "functions_price" }, called_in(messages))
    assert.truthy(request.check{ messages = messages })
    assert.truthy(request.check{ messages = history.new(of:kept()):messages("go on") })
  end)

  it("has that a tool ran, though it gave more than there is room for", function()
    local of = history.new()
    of:add("order it please", used({ "lookup_kb", "order", "lookup_kb" }, '{"result":"' .. ("roof "):rep(900) .. '"}'), "It is ordered.", true)
    local messages = of:messages("did you")
    assert.same({ "lookup_kb", "order", "lookup_kb" }, called_in(messages))
    local bytes = 0
    for _, message in ipairs(messages) do bytes = bytes + #message.text end
    assert.is_true(bytes < 9000)
    assert.truthy(request.check{ messages = messages })
    assert.same({ "lookup_kb", "order", "lookup_kb" }, history.done(of.turns[1]))
  end)

  it("has what was said within bounds, whoever heard it, also when it is understood better later", function()
    local of = history.new()
    of:add(("zwölf "):rep(4000), nil, ("Dächer "):rep(4000), true)
    local turn = of.turns[1]
    assert.is_true(#turn.user <= 4096 and #turn.reply <= 4096 + 4)
    of:add(("x "):rep(2040) .. "my card is 4111 1111 1111 1111", nil, "Thank you.", true)
    assert.is_nil(of:kept().turns[2].user:find("%d"))
    of:amend(("elf "):rep(4000))
    turn = of.turns[2]
    assert.is_true(#turn.user <= 4096)
  end)

  it("has of older turns what was wanted and done, in short, the newest of those", function()
    local of = history.new()
    of:add("I want a roof", used({ "create_lead" }, "{}"), "Very well.", true)
    local steps = used({ "order" }, '{"error":"no"}')
    steps[2].is_error = true
    of:add("order it", steps, "I cannot.", true)
    of:add(nil, nil, "Are you still there?", true)
    for i = 1, 24 do of:add("more " .. i, nil, "Yes.", true) end
    assert.same({ "I want a roof [create_lead]", "order it" }, of.earlier)
    assert.same({ 24, 3 }, { #of.turns, of.left_out })
    local first = of:messages("and").text or of:messages("and")[1].text
    assert.truthy(first:find("3 turns", 1, true) and first:find("I want a roof [create_lead] / order it", 1, true))
    for i = 25, 200 do of:add(("word "):rep(100) .. i, nil, "Yes.", true) end
    assert.is_true(#table.concat(of.earlier) <= 2048 and #of.earlier > 5)
  end)

  -- A line in short ended within the number, and of one told over several turns the rest stayed when the first of them was left out.
  it("has no part of a card's number in what is told in short, nor of what it goes on with", function()
    for _, told in ipairs{ { ("word "):rep(29) .. "card 4111 1111 1111 1111 please" }, { "4111", "1111", "1111", "1111", "it is this one" },
      { ("word "):rep(30) .. "card 4111 1111", "1111 1111 thanks" } } do
      local of = history.new()
      for _, text in ipairs(told) do of:add(text, nil, text, true) end
      for i = 1, 40 do
        of:add(("word "):rep(30), nil, "Yes.", true)
        local kept = of:kept()
        assert.is_nil(table.concat(kept.earlier, " "):find("%d%d"))
        for _, turn in ipairs(kept.turns) do assert.is_nil((turn.user .. turn.reply):find("%d%d"), i) end
      end
      assert.is_true(of.left_out > #told)
    end
    local of = history.new()
    of:add("the first one", nil, "Yes.", true)
    for _ = 1, 24 do of:add("it is 4111 1111 1111 1111 again", nil, "Yes.", true) end
    assert.equal("it is 4111 1111 1111 1111 again", of.turns[24].user, "the model is told what was said just now")
  end)

  it("has what was said before a tool once, and the caller's last words as they were understood", function()
    local of = history.new()
    local steps = used({ "lookup_kb" }, "{}")
    steps[1].text = "Let me see."
    of:add("how much", steps, "Let me see. It is ten.", true)
    of:add(nil, nil, "Are you there?", false)
    of:amend("how much is it")
    local messages = of:messages("yes")
    assert.same({ "user", "assistant", "tool", "assistant", "user" }, { messages[1].role, messages[2].role, messages[3].role, messages[4].role, messages[5].role })
    assert.same({ "how much is it", "", "Let me see. It is ten.\nAre you there? …" }, { messages[1].text, messages[2].text, messages[4].text })
  end)
end)
