-- SPDX-License-Identifier: Apache-2.0
--- What a conversation is to find out, by speech and by keys, with a model and without.
local json = require "core.json"
local sentences = require "calls.talk.sentences"
local slots = require "calls.talk.slots"
local without_model = require "calls.talk.without_model"
local world = require "tests.lua.talk_world"

local ZIP = { name = "zip", kind = "digits", prompt = "What is your zip code?", digits = 5, confirm = true, optional = false }
local WHO = { name = "who", kind = "name", prompt = "What is your name?", confirm = false, optional = true }
local OWNER = { name = "owner", kind = "yes_no", prompt = "Is the house yours?", confirm = true, optional = false }

local function has(text, part) assert.truthy(text:find(part, 1, true), ("'%s' is not in '%s'"):format(part, text)) end
local function closed(said) return without_model.closed(said, "en") end
local function read(kind, said, more)
  local slot = { name = "x", kind = kind }
  for name, value in pairs(more or {}) do slot[name] = value end
  return slots.read(slot, type(said) == "table" and said or { text = said }, closed)
end

describe("a slot", function()
  it("of digits is understood by keys, figures and words", function()
    assert.equal("94107", read("digits", { keys = "94107#" }))
    assert.equal("94107", read("digits", "it is 94107"))
    assert.equal("94107", read("digits", "nine four one oh seven"))
    assert.equal("9444", read("digits", "nine triple four"))
    assert.is_nil(read("digits", "nine four one", { digits = 5 }))
    assert.is_nil(read("digits", "i do not know"))
  end)

  it("of a phone number has as many digits as one may have, and its plus", function()
    assert.equal("+12025550123", read("phone", "plus one two oh two five five five oh one two three"))
    assert.equal("2025550123", read("phone", { keys = "2025550123#" }))
    assert.is_nil(read("phone", "five five five"))
  end)

  it("of a spelling takes letters and digits", function()
    assert.equal("AB12", read("spelling", "A B one two"))
    assert.equal("DE89", read("spelling", "DE89"))
  end)

  it("of a name leaves out what stands in front of it, and joins what was spelled", function()
    assert.equal("Ann Doe", read("name", "My name is Ann Doe."))
    assert.equal("Jörg Müller", read("name", "ich heiße Jörg Müller"))
    assert.equal("Doe", read("name", "D O E"))
    assert.is_nil(read("name", { keys = "1" }))
    assert.is_nil(read("name", "well that is a very long story which I will tell"))
  end)

  it("of yes or no is true or false", function()
    assert.is_true(read("yes_no", "yes please"))
    assert.is_false(read("yes_no", { keys = "2" }))
    assert.is_nil(read("yes_no", "perhaps"))
  end)

  it("that is said back is known with yes, asked for again with no, and another with its value once more", function()
    local function say(known, text) return slots.answer({ ZIP, WHO }, known, { text = text }, closed, sentences.of("en")) end
    local answer, known = say(slots.new(), "nine four one zero seven")
    assert.same({ kind = "yes_no" }, answer.expect)
    assert.same({ pending = "94107", at = 1 }, { pending = known.pending, at = known.at })
    local _, yes = say(known, "yes")
    assert.same({ { zip = "94107" }, 2, 0 }, { yes.values, yes.at, yes.misses })
    assert.is_nil(yes.pending)
    local again, no = say(known, "no")
    has(again.say, ZIP.prompt)
    assert.same({ {}, 1, 1 }, { no.values, no.at, no.misses })
    assert.is_nil(no.pending)
    local human = say(no, "no")
    assert.equal("not_understood", human.human)
    local _, other = say(known, "nine four one one one")
    assert.equal("94111", other.pending)
    assert.equal("94107", known.pending)  -- a turn may be taken back
    local _, keyed = slots.answer({ ZIP, WHO }, known, { keys = "94222" }, closed, sentences.of("en"))
    assert.same({ { zip = "94222" }, 2 }, { keyed.values, keyed.at })
    assert.is_nil(keyed.pending)
  end)

  it("is waited for as long as somebody needs to look it up, and ends with hash", function()
    assert.same({ "digits", 5, "#", true }, { slots.expect(ZIP).kind, slots.expect(ZIP).count, slots.expect(ZIP).finish, slots.expect(ZIP).silence_ms > 10000 })
    assert.same({ "digits", "#" }, { slots.expect{ kind = "phone" }.kind, slots.expect{ kind = "phone" }.finish })
    assert.is_nil(slots.expect{ kind = "phone" }.count)
    assert.same({ "yes_no", "spelling", "open", "open" }, { slots.expect(OWNER).kind, slots.expect{ kind = "spelling" }.kind, slots.expect{ kind = "text" }.kind, slots.expect(WHO).kind })
  end)

  it("takes any bytes", function()
    for _, kind in ipairs{ "digits", "phone", "spelling", "name", "yes_no", "text" } do
      for _, text in ipairs{ "", "\255\254", ("1"):rep(5000), ("a "):rep(3000), "%d%s" } do read(kind, text) end
    end
  end)
end)

local function greeted(options)
  local w = world.new(options):greeted():pass(6000)
  w:spoken()
  return w
end

describe("a conversation with slots, without a model", function()
  it("asks for one after the other, says back what was spoken, and ends when all is there", function()
    local w = world.new{ args = { slots = { ZIP, WHO, OWNER } } }:greeted():pass(4000)
    has(w:spoken(), "How can I help you? What is your zip code?")
    w:says("nine four one zero seven"):pass(9000)
    has(w:spoken(), "I have understood: 9 4 1 0 7. Is that right?")
    w:says("yes"):pass(6000)
    has(w:spoken(), "What is your name?")
    w:says("my name is ann"):pass(6000)
    has(w:spoken(), "Is the house yours?")
    w:says("no"):pass(9000)
    assert.same({ zip = "94107", who = "ann", owner = false }, w.result.slots)
    assert.equal("filled", w.result.why)
    assert.is_false(w.result.wants_human)
  end)

  -- "hello is anybody there" was somebody's name.
  it("asks again who only greets, and takes it for no value", function()
    for _, kind in ipairs{ "name", "text", "spelling", "digits" } do
      local slot = { name = "x", kind = kind, prompt = "Tell me?", confirm = kind == "name", optional = false }
      local state, of = { slots = slots.new() }, { slots = { slot }, says = sentences.of("en"), titles = {}, language = "en" }
      local function say(text) return without_model.answer(state, of, { text = text }) end
      assert.equal("Tell me?", say("hello is anybody there").say)
      assert.same({ {}, 0 }, { state.slots.values, state.slots.misses })
      has(say("hello").say, "Tell me?")
      assert.same({ {}, 1 }, { state.slots.values, state.slots.misses })
      assert.equal("not_understood", say("hello").human)
    end
    local state = { slots = { values = {}, at = 1, misses = 0, pending = "Ann" } }
    local of = { slots = { { name = "who", kind = "name", prompt = "Who?", confirm = true } }, says = sentences.of("en"), titles = {}, language = "en" }
    has(without_model.answer(state, of, { text = "Hello?" }).say, "Ann")
    assert.equal("Ann", state.slots.pending)
    without_model.answer(state, of, { text = "yes" })
    assert.equal("Ann", state.slots.values.who)
  end)

  it("takes keys without asking whether they are right", function()
    local w = greeted{ args = { slots = { ZIP } } }
    w:keys("94107"):pass(9000)
    assert.same({ zip = "94107" }, w.result.slots)
  end)

  it("asks for keys until its numbers are there, and where digits are expected", function()
    local w = greeted{ args = { slots = { ZIP, OWNER } } }
    assert.is_true(w.asks_keys)
    w:says("nine four one zero seven"):pass(9000)
    assert.is_true(w.asks_keys)  -- it may not have been right
    w:says("yes"):pass(9000)
    assert.is_false(w.asks_keys)
    assert.is_true(greeted{ args = { expect = "digits" } }.asks_keys)
    assert.is_false(greeted{ args = {} }.asks_keys)
  end)

  it("asks again when it was not right, or not understood, and puts the caller through the second time", function()
    local w = greeted{ args = { slots = { ZIP } } }
    w:says("nine four one zero seven"):pass(9000)
    w:says("no"):pass(9000)
    has(w:spoken(), "What is your zip code?")
    w:says("one two"):pass(12000)
    assert.equal("not_understood", w.result.why)
    assert.same({}, w.result.slots)
  end)

  it("goes on without what may be left out", function()
    local w = greeted{ args = { slots = { WHO, OWNER } } }
    w:keys("1"):pass(9000)
    w:keys("1"):pass(9000)
    has(w:spoken(), "Is the house yours?")
    w:says("yes"):pass(9000)
    assert.same({ owner = true }, w.result.slots)
  end)

  it("goes on behind its last finished turn with whoever takes it up", function()
    local w = greeted{ args = { slots = { ZIP, OWNER } } }
    w:keys("94107"):pass(9000)
    local kept = json.decode(json.encode(w.kept))
    w.talk:close(true)
    local after = world.new{ args = { slots = { ZIP, OWNER } }, kept = kept }
    assert(after.talk:begin{})
    after:pass(6000):says("yes"):pass(9000)
    assert.same({ zip = "94107", owner = true }, after.result.slots)
  end)
end)

describe("a conversation with slots and a model", function()
  local function calls(arguments)
    return function() return { text = "", reason = "tools", tool_calls = { { id = "t1", name = "fill", arguments = json.encode(arguments) } } } end
  end
  local function says(text)
    return function(_, given)
      given.on_event{ type = "text", text = text }
      return { text = text, tool_calls = {} }
    end
  end

  it("lets the model write them down, holds it to what they are, and ends when all is there", function()
    local w = greeted{ args = { slots = { ZIP, OWNER } }, models = { calls{ zip = "9410" }, says "Once more, please?", calls{ zip = "94107", owner = true }, says "Thank you." } }
    w:says("it is nine four one oh"):pass(6000)
    local messages = w.asked[2].messages
    assert.equal("zip must be digits, 5 of them", json.decode(messages[#messages].text).error)
    has(w.asked[1].system, "What is your zip code?")
    w:says("nine four one oh seven and the house is mine"):pass(9000)
    assert.same({ zip = "94107", owner = true }, w.result.slots)
    assert.equal("filled", w.result.why)
  end)

  it("asks for keys as long as the model may ask for a number", function()
    local w = greeted{ args = { slots = { OWNER, ZIP } }, models = { says "Is it yours?", calls{ zip = "94107" }, says "And is it yours?" } }
    w:says("hello"):pass(6000)
    assert.is_true(w.asks_keys)
    w:says("nine four one oh seven"):pass(6000)
    w:says("well"):pass(6000)
    assert.is_false(w.asks_keys)
  end)

  it("taken up expects an answer to what is asked for by now", function()
    for at, kind in ipairs{ "digits", "open", "yes_no" } do
      local values = { at > 1 and "94107" or nil, at > 2 and "Ann" or nil }
      local w = world.new{ args = { slots = { ZIP, WHO, OWNER } }, kept = { greeted = true, desk = { slots = { values = { zip = values[1], who = values[2] }, at = at, misses = 0 } } },
        models = { says "And then?" } }
      assert(w.talk:begin{})
      assert.equal(kind, w.talk.machine.expect.kind)
    end
  end)

  it("has what may be left out asked for, too, and goes on without it when the caller does not tell it", function()
    for last, expected in pairs{ [{ who = "Ann" }] = { zip = "94107", who = "Ann" }, [{ left_out = "who" }] = { zip = "94107" } } do
      local w = greeted{ args = { slots = { ZIP, WHO } }, models = { calls{ zip = "94107" }, says "And your name?", calls(last), says "Thank you." } }
      w:says("nine four one oh seven"):pass(6000)
      assert.is_nil(w.result)
      assert.is_false(json.decode(w.asked[2].messages[#w.asked[2].messages].text).complete)
      w:says("well"):pass(9000)
      assert.same({ "filled", expected }, { w.result.why, w.result.slots })
    end
  end)

  it("is over when nothing more came of that twice, whatever the model says of it", function()
    local w = greeted{ args = { slots = { ZIP, WHO } }, models = { calls{ zip = "94107" }, says "And your name?", says "Your name?", says "Well then." } }
    w:says("nine four one oh seven"):pass(6000)
    w:says("the the"):pass(6000)
    assert.is_nil(w.result)
    w:says("of a"):pass(9000)
    assert.same({ "filled", { zip = "94107" } }, { w.result.why, w.result.slots })
  end)

  it("leaves out none that must be there", function()
    local known, why = slots.fill({ ZIP, WHO }, slots.new(), { left_out = "zip" })
    assert.is_nil(known)
    assert.equal("left_out must be the name of one that may be left out", why)
    assert.is_nil(slots.tool{ ZIP }.parameters.properties.left_out)
    assert.same({ "who" }, slots.tool{ ZIP, WHO }.parameters.properties.left_out.enum)
  end)
end)
