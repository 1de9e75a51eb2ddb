-- SPDX-License-Identifier: Apache-2.0
--- Simulated calls, in real cells.
if not pcall(require, "core.cell") then return end

local gate = require "scripts.gate"
local sim = require "sim"
local verbs = require "sim.verbs"
local world = require "sim_world"

local play = world.play

local MENU = [[
start = "a",
a = function(call)
  return call:menu{ prompt = "One or two?", ["1"] = "one", ["2"] = "two", otherwise = "none", timeout = 5, repeats = 2 }
end,
one = function(call) call.data.key = 1 end,
two = function(call) call.data.key = 2 end,
none = function(call) call:hangup() end,
]]

describe("a simulated call", function()
  it("has every verb of the gate", function()
    for _, verb in ipairs(gate.verbs) do assert.is_function(verbs.table[verb.name], verb.name) end
  end)

  it("goes where the caller's key leads", function()
    local result = play(MENU, { steps = { { key = "2" } } })
    assert.same({ "a", "two" }, result.states)
    assert.equal("done", result.outcome)
    assert.equal("flow", result.hangup_by)
    assert.same({ key = 2 }, result.data)
  end)

  it("hears a menu three times before it takes otherwise", function()
    local result = play(MENU)
    assert.same({ "One or two?", "One or two?", "One or two?" }, result.said)
    assert.same({ "a", "none" }, result.states)
    assert.equal("hangup", result.outcome)
  end)

  it("lets a wrong key cost a try of the menu", function()
    local result = play(MENU, { steps = { { key = "9" }, { key = "1" } } })
    assert.equal(2, #result.said)
    assert.same({ "a", "one" }, result.states)
  end)

  it("takes no real time for a minute of silence", function()
    local clock = require "core.clock"
    local began = clock.mono_ms()
    local result = play([[start = "a", a = function(call) call:wait(300) end]])
    assert.equal(300, result.seconds)
    assert.is_true(clock.mono_ms() - began < 30000)
  end)

  it("plays a conversation by what the caller says in it", function()
    local talk = [[start = "a", a = function(call)
      local talk = call:converse{ greeting = "Hello?", tools = { "create_lead" }, limit = { turns = 3, seconds = 60 } }
      call.data.turns, call.data.why, call.data.human = talk.turns, talk.why, talk.wants_human
    end]]
    assert.same({ turns = 2, why = "asked_for", human = true }, play(talk, { steps = { { say = "What do you cost?" }, { say = "I want to speak to a human." } } }).data)
    assert.same({ turns = 0, why = "silence", human = false }, play(talk).data)
    assert.same({ turns = 3, why = "limit", human = false }, play(talk, { steps = { { say = "One." }, { say = "Two." }, { key = "1" } } }).data)
    assert.same({ "Hello?" }, play(talk).said)
  end)

  local ROOFS = [[start = "a", a = function(call)
    local talk = call:converse{ greeting = "Hello?", limit = { turns = 9, seconds = 300 },
      tools = { "create_lead", "hangup", { name = "price", description = "What a roof costs.", parameters = { size = { type = "number" } },
        run = function(given)
          call.data.asked = (call.data.asked or 0) + 1
          if given.size > 500 then return nil, "too large" end
          if given.size < 0 then error("no such roof") end
          if given.size == 0 then call:say "This is not heard." end
          if given.size == 1 then return { fn = function() end } end
          local lead = call:create_lead{ notes = "a roof of " .. given.size }
          return { dollars = 100 * given.size, lead = lead.id }
        end } },
      escalate = function(turn)
        call.data.turns = turn.n
        if turn.text:find("lawyer", 1, true) then return "speaks of a lawyer" end
      end }
    call.data.why, call.data.reason, call.data.human, call.data.summary = talk.why, talk.reason, talk.wants_human, talk.summary
  end]]

  it("runs the script's own tools and rule in a conversation as a real one does", function()
    local result = play(ROOFS, { steps = { { say = "What does a roof of 40 square metres cost?" }, { say = "Thank you." } },
      ai = { { tool = "price", given = { size = 40 } }, { say = "It costs 4000 dollars." }, { tool = "hangup" }, { say = "Goodbye." } } })
    assert.same({}, result.errors)
    assert.same({ "Hello?", "It costs 4000 dollars.", "Goodbye." }, result.said)
    assert.same({ name = "price", given = { size = 40 }, result = { dollars = 4000, lead = "ld_sim1" } }, result.tools[1])
    assert.equal("a roof of 40", result.lead.notes)
    assert.same({ 1, 2, "hangup", false }, { result.data.asked, result.data.turns, result.data.why, result.data.human })
    assert.truthy(result.data.summary:find("Done: price.", 1, true))
  end)

  it("puts a caller through whom the script's rule means", function()
    local result = play(ROOFS, { steps = { { say = "My lawyer will call you." } } })
    assert.same({ "rule", "speaks of a lawyer", true }, { result.data.why, result.data.reason, result.data.human })
  end)

  it("puts an angry caller through, and one who is not understood twice", function()
    assert.equal("anger", play(ROOFS, { steps = { { say = "You are all idiots." } } }).data.why)
    assert.equal("not_understood", play(ROOFS, { steps = { { say = "The of a." }, { say = "Of the." } }, ai = { { unclear = true }, { unclear = true } } }).data.why)
  end)

  it("tells the AI what a tool refuses, and puts the caller through where one breaks", function()
    local result = play(ROOFS, { steps = { { say = "A roof, please." }, { silence = 30 } }, ai = { { tool = "price", given = { size = 900 } }, { say = "That is too large." } } })
    assert.equal("too large", result.tools[1].error)
    assert.equal("silence", result.data.why)
    for size, text in pairs{ [-1] = "no such roof", [0] = "say: the conversation has the caller's line; a function of it can write things down and look them up",
      [1] = "a function cannot be sent" } do
      result = play(ROOFS, { steps = { { say = "A roof, please." } }, ai = { { tool = "price", given = { size = size } } } })
      assert.equal("tool_failed", result.data.why)
      assert.truthy(result.errors[1].text:find(text, 1, true), result.errors[1].text)
      assert.equal(1, result.data.asked)
    end
    assert.equal("flows/main.lua", play(ROOFS, { steps = { { say = "A roof, please." } }, ai = { { tool = "price", given = { size = -1 } } } }).errors[1].file)
  end)

  it("says when the AI of a test uses a tool that is not there", function()
    local result = play(ROOFS, { steps = { { say = "Book me." } }, ai = { { tool = "book" } } })
    assert.truthy(result.errors[1].text:find("'book', which is none of the conversation's tools", 1, true))
  end)

  it("takes what the AI gives to the tools there are as a real conversation does", function()
    local LEADS = [[start = "a", a = function(call)
      call.data.why = call:converse{ tools = { "create_lead", "update_lead", "book_callback" } }.why
    end]]
    local function used(...) return play(LEADS, { steps = { { say = "A roof, please." } }, ai = { ... } }) end
    local result = used({ tool = "create_lead", given = { name = {}, score = "many", interest = "a roof, 4111 1111 1111 1111", colour = "red" } },
      { tool = "update_lead", given = { score = 900, name = 3 } }, { tool = "update_lead", given = { colour = "red" } }, { say = "Done." })
    assert.same({}, result.errors)
    assert.same({ "a roof, [CARD]", 100 }, { result.lead.notes, result.lead.score })
    assert.is_nil(result.lead.name or result.lead.colour)
    assert.equal("nothing was given that could be changed", result.tools[3].error)
    assert.equal("silence", result.data.why)
    assert.equal("at is missing", used({ tool = "book_callback", given = { at = {} } }, { say = "Done." }).tools[1].error)
    assert.equal("lead", used({ tool = "book_callback", given = { at = "tomorrow" } }).tools[1].result.lead and "lead")
    local open, problem = used{ tool = "create_lead", given = { score = 0 / 0 } }
    assert.is_nil(open)
    assert.same({ "ai", 1, "given" }, problem.path)
    assert.is_nil((used{ say = "\255" }))
  end)

  it("refuses what is no tool or rule of a script", function()
    for given, text in pairs{ ['tools = { { name = "x", description = "y" } }'] = "run of a tool in options.tools must be a function", ["escalate = true"] = "options.escalate must be a function",
      ['tools = { { name = "x", description = "y", run = true } }'] = "run of a tool in options.tools must be a function" } do
      local result = play(('start = "a", a = function(call) call:converse{ %s } end'):format(given))
      assert.equal("converse: " .. text, result.error.text)
      assert.equal(3, result.error.line)
    end
  end)

  it("waits for each further key as long as gather says", function()
    local states = [[start = "a", a = function(call) call.data.keys = call:gather{ digits = 4, timeout = 5, between = 3 } end]]
    assert.equal("1234", play(states, { steps = { { keys = "1234" } } }).data.keys)
    assert.equal("12", play(states, { steps = { { keys = "12" }, { silence = 3 }, { keys = "34" } } }).data.keys)
    assert.equal("1234", play(states, { steps = { { keys = "12" }, { silence = 2 }, { keys = "34" } } }).data.keys)
    assert.equal("12", play(states, { steps = { { keys = "12#" } } }).data.keys)
  end)

  it("gives a silent gather its error", function()
    local result = play([[start = "a", a = function(call) local keys, err = call:gather{} call.data.code = err.code end]])
    assert.equal("timeout", result.data.code)
  end)

  it("keeps keys that were pressed ahead for the next verb", function()
    local states = [[start = "a",
      a = function(call) call:say("Hello, hello, hello.", { interrupt = true }) call.data.first = call:gather{ digits = 1 } return "b" end,
      b = function(call) call.data.second = call:gather{ digits = 1 } end]]
    local result = play(states, { steps = { { keys = "47", at = 0.2 } } })
    assert.same({ first = "4", second = "7" }, result.data)
    assert.is_false(result.trace[1].result)
  end)

  it("runs the state ended and not the running state when the caller hangs up", function()
    local states = [[start = "a",
      a = function(call) call:say "Hello." call:say "You do not hear this." end,
      ended = function(call, why) call:log("ended by " .. why) end]]
    local result = play(states, { steps = { { hangup = true } } })
    assert.same({ "Hello." }, result.said)
    assert.same({ "ended by caller" }, result.logged)
    assert.same({ "a", "ended" }, result.states)
    assert.equal("caller", result.hangup_by)
  end)

  it("goes to the fallback of the bundle with file and line of the error", function()
    local result = play([[start = "a", a = function(call)
      local nothing = nil
      return nothing.x
    end]])
    assert.equal("fallback", result.outcome)
    assert.equal("platform", result.hangup_by)
    assert.same({ "Sorry." }, result.said)
    assert.equal("error", result.error.kind)
    assert.equal("flows/main.lua", result.error.file)
    assert.equal(5, result.error.line)
    assert.equal(1, #result.errors)
  end)

  it("lets the state failed have a word before the fallback", function()
    local states = [[start = "a", a = function() error("broken") end, failed = function(call, err) call:say("It failed: " .. err) %s end]]
    local result = play(states:format(""))
    assert.same({ "a", "failed" }, result.states)
    assert.same({ "fallback", "It failed: broken", "Sorry." }, { result.outcome, result.said[1], result.said[2] })
    result = play(states:format("call:hangup()"))
    assert.same({ "hangup", "It failed: broken" }, { result.outcome, result.said[1], result.said[2] })
    assert.equal(1, #result.errors)
  end)

  it("tells of a state's name that is none", function()
    local result = play([[start = "a", a = function() return "nowhere" .. 1 end]])
    assert.equal("form", result.error.kind)
    assert.matches("'nowhere1', which is no state", result.error.text, 1, true)
  end)

  it("checks arguments as a live call does", function()
    local result = play([[start = "a", a = function(call) call:say(5) end]])
    assert.equal("say: text must be a string, not a number", result.error.text)
  end)

  it("gives verbs the errors and ends that its caller asks for", function()
    local states = [[start = "a", a = function(call)
      local _, err = call:create_lead{ score = 1 }
      call.data.lead = err.code
      call.data.lead_again = call:create_lead{ score = 2 }.id
      local _, first = call:transfer("+12025550142")
      call.data.first, call.data.second = first.code, call:transfer("+12025550142")
    end]]
    local result = play(states, { from = "+12025550111", fail = { create_lead = { { code = "failed" } } }, transfer = { "busy", "answered" } })
    assert.same({ lead = "failed", lead_again = "ld_sim1", first = "busy", second = "answered" }, result.data)
    assert.equal(2, result.lead.score)
    assert.equal("+12025550111", result.lead.phone)
  end)

  it("records what is said and ends in silence, by key or at its limit", function()
    local states = [[start = "a", a = function(call) call.data.message = call:record{ seconds = 10, silence = 3 } end]]
    assert.equal("silence", play(states, { steps = { { say = "Hello there." } } }).data.message.reason)
    assert.equal("key", play(states, { steps = { { say = "Hello there." }, { key = "#" } } }).data.message.reason)
    local long = play(states, { steps = { { say = ("word "):rep(60) } } }).data.message
    assert.same({ "limit", 10 }, { long.reason, long.seconds })
  end)

  it("is the same however often it is played", function()
    local states = [[start = "a", a = function(call) call.data.list = { math.random(1000), math.random(1000), call:now(), os.time() } end]]
    local first = play(states, { seed = 7 }).data
    assert.same(first, play(states, { seed = 7 }).data)
    assert.are_not.same(first, play(states, { seed = 8 }).data)
  end)

  it("has the time that its caller says, and lets it jump", function()
    local states = [[start = "a", a = function(call) call.data.first = call:now() call:wait(10) call.data.second = call:now() end]]
    local result = play(states, { now = "2026-12-24T18:00:00Z", steps = { { now = 2000000000, at = 5 } } })
    assert.equal(1798135200, result.data.first)
    assert.equal(2000000005, result.data.second)
  end)

  it("is ended when it would go on for ever", function()
    local result = play([[start = "a", a = function() return "b" end, b = function() return "a" end]])
    assert.equal("endless", result.outcome)
    assert.equal("endless", result.error.kind)
    result = play([[start = "a", a = function(call) while true do call:gather{} end end]])
    assert.equal("endless", result.outcome)
  end)

  it("ends a script that loops, as a live call is ended", function()
    local result = play([[start = "a", a = function() while true do end end]])
    assert.equal("fallback", result.outcome)
    assert.equal("cpu", result.error.kind)
    assert.equal(3, result.error.line)
  end)

  it("goes to the fallback when its cell dies twice, and the next call has a new one", function()
    local open = assert(sim.open(world.bytes([[start = "a",
      a = function(call)
        call:say "Hello."
        local s = ("x"):rep(2 ^ 20)
        s = s .. s .. s .. s .. s .. s .. s .. s
        return s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s  -- in one step past the hard limit, where nothing asks
      end,
      b = function(call) call:hangup() end]])))
    local result = assert(sim.call(open, {}))
    local next_result = assert(sim.call(open, { state = "b" }))
    open.close()
    assert.equal("fallback", result.outcome)
    assert.equal("strikes", result.errors[#result.errors].kind)
    assert.same({ "flows/main.lua", true }, { result.error.file, result.error.line >= 5 })
    assert.same({ "Hello.", "Sorry." }, result.said)  -- what was done is not done again
    assert.equal("hangup", next_result.outcome)
  end)

  it("begins in a state with data when its caller says so", function()
    local result = play(MENU, { state = "two", data = { old = true } })
    assert.same({ "two" }, result.states)
    assert.same({ old = true, key = 2 }, result.data)
  end)

  it("runs the flow of the tenant's own number, whoever calls whom", function()
    local more = {
      ["bundle.lua"] = 'return { numbers = { ["+12025550100"] = "flows/main.lua", ["+12025550101"] = "flows/out.lua" } }',
      ["flows/out.lua"] = 'local flow = require "flow" return flow.define{ start = "out", out = function(call) call:hangup() end }',
    }
    assert.equal("flows/main.lua", play(MENU, { to = "+12025550100" }, more).flow)
    local outbound = play(MENU, { from = "+12025550101", to = "+12025550199", direction = "outbound" }, more)
    assert.same({ "flows/out.lua", { "out" } }, { outbound.flow, outbound.states })
    local _, problem = play(MENU, { to = "+12025550199" }, more)
    assert.same({ { "to" }, "no flow of bundle.lua answers +12025550199" }, { problem.path, problem.text })
  end)

  it("refuses a caller that makes no sense, and says where", function()
    local function problem(given)
      local _, err = play(MENU, given)
      return require("sim.caller").where(err.path) .. " " .. err.text
    end
    assert.equal("steps[2] must have one of key, keys, say, silence, hangup, now", problem{ steps = { { key = "1" }, {} } })
    assert.equal("steps[1].key must be one key as text, such as \"1\"", problem{ steps = { { key = 1 } } })
    assert.equal("transfer must be answered, busy, no_answer, rejected, limit or failed", problem{ transfer = "engaged" })
    assert.equal("fail.crate_lead there is no such verb or hook", problem{ fail = { crate_lead = { code = "x" } } })
    assert.matches("^color is no field of a caller", problem{ color = "red" })
    assert.equal("flow 'flows/other.lua' is no flow of this bundle", problem{ flow = "flows/other.lua" })
  end)

  it("cannot be begun for a bundle that would be refused", function()
    local open, err = sim.open(world.bytes([[start = "a", a = function() return "b" end]]))
    assert.is_nil(open)
    assert.matches("flows/main.lua:3: state 'a' returns 'b'", err.text, 1, true)
  end)
end)
