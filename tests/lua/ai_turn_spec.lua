-- SPDX-License-Identifier: Apache-2.0
--- Turns: who is asked next, when, and what the caller hears of it.
local ai_world = require "ai_world"
local promise = require "lib.promise"
local task = require "core.task"
local turn = require "ai.turn"

local says, fails, refuses, late, calls, target = ai_world.says, ai_world.fails, ai_world.refuses, ai_world.late, ai_world.calls, ai_world.target

local A, B, C = target "a", target "b", target "c"
local hello = { messages = { { role = "user", text = "Hello?" } } }

-- Takes a turn: the result, and what the caller heard as one text.
local function take(world, targets, options, request)
  local heard, settled = {}, {}
  local given = {
    deadline = world.now + 10000, first_token_ms = 2000, idle_ms = 1500, attempts = 4, going_on = 1, wait_most_ms = 10000,
    emit = function(event) if event.text then heard[#heard + 1] = event.text end end,
    enter = function(at)
      return function(outcome)
        settled[#settled + 1] = { target = at.provider, class = outcome.class }
        return 7
      end
    end,
  }
  for name, value in pairs(options or {}) do given[name] = value end
  if options and options.unheard then given.emit = nil end
  local result = world:run(function() return turn.run(world.given, request or hello, targets, given) end)
  result.heard, result.settled = table.concat(heard), settled
  return result
end

describe("a turn", function()
  it("gives the first model's answer", function()
    local world = ai_world.new{ a = { says("Good", " morning") } }
    local result = take(world, { A, B })
    assert.is_nil(result.class)
    assert.equal("Good morning", result.said)
    assert.equal("Good morning", result.heard)
    assert.equal("end", result.reason)
    assert.equal(10, result.usage.input)
    assert.equal("a", world:order())
    assert.same({ provider = "a", model = "m-a", key_id = "key-a", ms = 21, first_token_ms = 11, cost = 7, usage = result.attempts[1].usage }, result.attempts[1])
  end)

  it("goes to the next model when one fails before a word was heard", function()
    for name, failure in pairs{ refused = refuses(), server = fails(500), overload = fails(503), rate = fails(429, { ["retry-after"] = "9" }), auth = fails(401),
      money = fails(429, {}, "insufficient_quota"), unknown = fails(404), cut = says{ "cut" } } do
      local world = ai_world.new{ a = { failure }, b = { says("Hello") } }
      local result = take(world, { A, B })
      assert.equal("Hello", result.heard, name)
      assert.equal("a b", world:order(), name)
      assert.equal(2, #result.settled, name)
    end
  end)

  it("does not ask another when the request itself is wrong", function()
    local world = ai_world.new{ a = { fails(400) }, b = { says("Hello") } }
    local result = take(world, { A, B })
    assert.equal("bad_request", result.class)
    assert.equal("a", world:order())
  end)

  it("asks only a model with more room when the prompt was too long", function()
    local big = target("c", { flags = { compatible = true, context_tokens = 1000000 } })
    local world = ai_world.new{ a = { fails(413) }, b = { says("Hello") }, c = { says("Hello") } }
    assert.equal("Hello", take(world, { A, B, big }).heard)
    assert.equal("a c", world:order())
  end)

  it("tells nothing more once its time is over, however slowly what was told is taken", function()
    local world, heard, free = ai_world.new{ a = { says("One", " two", " three") } }, {}, promise.new()
    local result = take(world, { A }, { deadline = world.now + 1000, emit = function(event)
      if event.type ~= "text" then return end
      heard[#heard + 1] = event.text
      free:wait()
    end })
    assert.equal("timeout", result.class)
    assert.equal(0, #result.settled)
    free:give()
    world:pass(100)
    assert.same({ "One" }, heard)
    assert.equal(1, #result.settled)
  end)

  it("leaves a silent server alone after its time, and does not wait for it any more", function()
    local world = ai_world.new{ a = { late(math.huge, says("never")) }, b = { says("Hello") } }
    local began = world.now
    local result = take(world, { A, B })
    assert.equal("Hello", result.heard)
    assert.equal("timeout", result.attempts[1].class)
    assert.is_true(world.now - began < 2100)
    world:pass(20000)
    assert.is_nil(next(world.opening))
  end)

  it("counts signs of life without a word as silence", function()
    local world = ai_world.new{ a = { says({ 1000, '{"id":"c1","choices":[]}' }, { 1000, '{"id":"c1","choices":[]}' }, { 1000, '{"id":"c1","choices":[]}' }, { "stall" }) }, b = { says("Hello") } }
    local result = take(world, { A, B })
    assert.equal("Hello", result.heard)
    assert.equal("timeout", result.attempts[1].class)
    assert.same({ "a" }, world.cancelled)
  end)

  it("tells the caller once that an answer has begun, whoever began it", function()
    local starts, world = 0, ai_world.new{ a = { says{ "cut" } }, b = { says("Hello") } }
    take(world, { A, B }, { emit = function(event) if event.type == "start" then starts = starts + 1 end end })
    assert.equal(1, starts)
  end)

  it("gives an answer without a word as it is: asked once, paid for once, and nobody's breaker opens", function()
    local world = ai_world.new{ a = { says("") }, b = { says("Hello") } }
    for _ = 1, 6 do
      local result = take(world, { A, B })
      assert.same({ "", "end" }, { result.said, result.reason })
      assert.is_nil(result.class)
      assert.equal(1, #result.settled)
    end
    assert.equal("a a a a a a", world:order())
    assert.equal("closed", world.health:figures(A).state)
  end)

  it("of a tenant that gives a model less time than the platform does opens no breaker of it", function()
    local fair = { first_token_ms = 2000, idle_ms = 1500 }
    for name, of in pairs{ first = { first_token_ms = 50 }, idle = { idle_ms = 50 } } do
      local world = ai_world.new{ a = { name == "first" and late(math.huge, says("never")) or says("Hello", { 100, "{}" }, { "stall" }) } }
      for _ = 1, 6 do take(world, { A }, { first_token_ms = of.first_token_ms, idle_ms = of.idle_ms, fair = fair, attempts = 1 }) end
      assert.same({ "closed", 0 }, { world.health:figures(A).state, world.health:figures(A).failed }, name)
      for _ = 1, 6 do take(world, { A }, { fair = fair, attempts = 1 }) end
      assert.equal("open", world.health:figures(A).state, name)
    end
  end)

  it("says what went wrong last when nobody answers", function()
    local world = ai_world.new{ a = { fails(401) }, b = { fails(404) } }
    local result = take(world, { A, B })
    assert.equal("not_found", result.class)
    assert.equal(2, #result.attempts)
  end)

  it("says that there is nobody to ask", function()
    local result = take(ai_world.new{}, {})
    assert.equal("no_provider", result.class)
  end)
end)

describe("a turn that tries again", function()
  it("waits with full jitter, and longer each time", function()
    local world = ai_world.new{ a = { fails(503), fails(503), says("Hello") } }
    local result = take(world, { A })
    assert.equal("Hello", result.heard)
    assert.near(125, world.asked[2].at - world.asked[1].at, 5)
    assert.near(250, world.asked[3].at - world.asked[2].at, 5)
  end)

  it("does not wait at all when the dice say so", function()
    local world = ai_world.new{ a = { fails(503), says("Hello") } }
    world.chance = 0
    take(world, { A })
    assert.is_true(world.asked[2].at - world.asked[1].at < 5)
  end)

  it("asks nobody before Retry-After", function()
    local world = ai_world.new{ a = { fails(429, { ["retry-after"] = "3" }), says("Hello") } }
    assert.equal("Hello", take(world, { A }).heard)
    assert.is_true(world.asked[2].at - world.asked[1].at >= 3000)
  end)

  it("gives up at once when Retry-After is later than its deadline", function()
    local world = ai_world.new{ a = { fails(429, { ["retry-after"] = "30" }) } }
    local began = world.now
    local result = take(world, { A })
    assert.equal("rate", result.class)
    assert.equal(30, result.retry_after_s)
    assert.is_true(world.now - began < 100)
  end)

  it("does not ask again whom the server forbids", function()
    local world = ai_world.new{ a = { fails(500, { ["x-should-retry"] = "false" }) } }
    assert.equal("server", take(world, { A }).class)
    assert.equal("a", world:order())
  end)

  it("asks no more often than it may", function()
    local world = ai_world.new{ a = { fails(500) }, b = { fails(500) } }
    take(world, { A, B })
    assert.equal("a b a b", world:order())
  end)

  it("has one deadline for everything", function()
    local world = ai_world.new{ a = { late(1500, fails(503)) }, b = { late(1500, fails(503)) } }
    local began = world.now
    local result = take(world, { A, B }, { deadline = world.now + 4000, attempts = 10 })
    assert.is_not_nil(result.class)
    assert.is_true(world.now - began <= 4001)
  end)

  it("ends at its deadline in the middle of an answer, and blames nobody", function()
    local world = ai_world.new{ a = { says("Hel", { 900, "{}" }, { 900, "{}" }, { 900, "{}" }, { 900, "{}" }, { "stall" }) }, b = { says("Hello") } }
    local result = take(world, { A, B }, { deadline = world.now + 2000 })
    assert.equal("timeout", result.class)
    assert.same({ "a" }, world.cancelled)
    assert.equal(0, world.health:error_share(A))
    assert.equal("a", world:order())
  end)
end)

describe("an answer that breaks off", function()
  local function broken(tail) return says("The price ", "is ten", tail or { "cut" }) end

  it("is gone on with by the next model, and no word is heard twice", function()
    for _, rest in ipairs{ { " euros a", " month." }, { "euros a month." }, { "is ten euros", " a month." }, { "The price is", " ten euros a month." }, { "ten", " euros a month." } } do
      local world = ai_world.new{ a = { broken() }, b = { says(unpack(rest)) } }
      local result = take(world, { A, B })
      assert.is_nil(result.class)
      assert.equal("The price is ten euros a month.", result.heard)
      assert.equal("The price is ten euros a month.", result.said)
      assert.equal(1, result.gone_on)
      assert.equal("network", result.attempts[1].class)
    end
  end)

  it("tells the next model what was said", function()
    local world = ai_world.new{ a = { broken() }, b = { says(" euros") } }
    take(world, { A, B })
    local messages = world.asked[2].body.messages
    local said
    for _, message in ipairs(messages) do
      if message.role == "assistant" then said = message.content end
    end
    assert.equal("The price is ten", said)
  end)

  it("is gone on with after silence in its middle, too", function()
    local world = ai_world.new{ a = { broken{ "stall" } }, b = { says(" euros") } }
    assert.equal("The price is ten euros", take(world, { A, B }).heard)
  end)

  it("was whole already, when the next model has nothing to add", function()
    local world = ai_world.new{ a = { broken() }, b = { says("") } }
    local result = take(world, { A, B })
    assert.is_nil(result.class)
    assert.equal("The price is ten", result.said)
  end)

  it("is not gone on with for ever", function()
    local world = ai_world.new{ a = { broken() }, b = { says(" euros", { "cut" }) }, c = { says(" more") } }
    local result = take(world, { A, B, C })
    assert.equal("network", result.class)
    assert.equal("The price is ten euros", result.said)
    assert.equal("a b", world:order())
  end)

  it("is not gone on with in the middle of a tool call", function()
    local world = ai_world.new{ a = { calls("book", true) }, b = { calls("book") } }
    local result = take(world, { A, B })
    assert.equal("network", result.class)
    assert.equal("a", world:order())
  end)

  -- A caller was put through to a human.
  it("in the middle of a tool call is asked for again where only texts are told", function()
    local world, told = ai_world.new{ a = { calls("book", true) }, b = { calls("book") } }, {}
    local result = take(world, { A, B }, { texts_only = true, emit = function(event) told[#told + 1] = event.type end })
    assert.is_nil(result.class)
    assert.equal("a b", world:order())
    assert.same({ { id = "call_1", name = "book", arguments = '{"a":1}', valid = true } }, result.tool_calls)
    assert.same({ "start" }, told)
  end)

  it("is not gone on with when it is JSON by a schema", function()
    local world = ai_world.new{ a = { broken() }, b = { says(" euros") } }
    local result = take(world, { A, B }, nil, { messages = hello.messages, schema = { name = "x", schema = { type = "object" } } })
    assert.equal("network", result.class)
    assert.equal("a", world:order())
  end)

  it("is asked for anew when nobody has heard of it", function()
    local world = ai_world.new{ a = { broken() }, b = { says("It costs ten.") } }
    local result = take(world, { A, B }, { unheard = true })
    assert.equal("It costs ten.", result.said)
    world = ai_world.new{ a = { calls("book", true) }, b = { calls("book") } }
    result = take(world, { A, B }, { unheard = true })
    assert.same({ { id = "call_1", name = "book", arguments = '{"a":1}', valid = true } }, result.tool_calls)
  end)
end)

describe("a hedged turn", function()
  local function hedge() return 300 end

  it("asks a second model when the first is late, and hears the one that speaks first", function()
    local world = ai_world.new{ a = { late(1500, says("slow")) }, b = { says("fast", " answer") } }
    local began = world.now
    local result = take(world, { A, B }, { hedge_ms = hedge })
    assert.equal("fast answer", result.heard)
    assert.is_true(world.now - began < 400)
    assert.equal("b", result.target.provider)
    assert.is_true(result.hedged)
    world:pass(5000)
    assert.equal(2, #result.settled)
    assert.equal(0, world.health:error_share(A))
  end)

  it("resets the one that lost", function()
    local world = ai_world.new{ a = { says({ 1500, "{}" }, "slow") }, b = { says("fast") } }
    take(world, { A, B }, { hedge_ms = hedge })
    assert.same({ "a" }, world.cancelled)
  end)

  it("asks nobody else when the first is in time", function()
    local world = ai_world.new{ a = { late(200, says("fast")) }, b = { says("slow") } }
    assert.equal("fast", take(world, { A, B }, { hedge_ms = hedge }).heard)
    assert.equal("a", world:order())
  end)

  it("still hears the first when the second fails", function()
    local world = ai_world.new{ a = { late(800, says("first")) }, b = { fails(500) } }
    assert.equal("first", take(world, { A, B }, { hedge_ms = hedge }).heard)
  end)

  it("still hears the second when the first fails meanwhile", function()
    local world = ai_world.new{ a = { late(400, fails(500)) }, b = { late(500, says("second")) } }
    assert.equal("second", take(world, { A, B }, { hedge_ms = hedge }).heard)
    assert.equal("a b", world:order())
  end)

  it("goes on to a third when both have failed", function()
    local world = ai_world.new{ a = { late(400, fails(500)) }, b = { late(500, fails(500)) }, c = { says("third") } }
    assert.equal("third", take(world, { A, B, C }, { hedge_ms = hedge }).heard)
  end)

  it("ends when both were refused at the door while the other stood in it, and does not wait for the deadline", function()
    local world = ai_world.new{}
    local began = world.now
    local result = take(world, { A, B }, { hedge_ms = hedge, enter = function(at)
      world:sleep(at == A and 500 or 400)
      return nil, { class = "budget", code = "held", text = "held" }
    end })
    assert.equal("budget", result.class)
    assert.equal("held", result.code)
    assert.equal(700, world.now - began)
    assert.equal(2, #result.attempts)
  end)
end)

describe("a turn that nobody wants any more", function()
  it("ends its streams at once", function()
    local world, cancel = ai_world.new{ a = { says("one", { 5000, "{}" }) } }, promise.new()
    world:after(50, function() cancel:give() end)
    local began = world.now
    local result = take(world, { A }, { cancel = cancel, idle_ms = 9000 })
    assert.equal("cancelled", result.class)
    assert.equal(50, world.now - began)
    assert.same({ "a" }, world.cancelled)
    assert.equal("cancelled", result.settled[1].class)
  end)

  it("does not wait for a retry", function()
    local world, cancel = ai_world.new{ a = { fails(503, { ["retry-after"] = "5" }) } }, promise.new()
    world:after(50, function() cancel:give() end)
    local began = world.now
    assert.equal("cancelled", take(world, { A }, { cancel = cancel }).class)
    assert.equal(50, world.now - began)
  end)

  it("does not stand in a queue, and what it would have been let in for is given back", function()
    local world, cancel = ai_world.new{ a = { says("Hello") } }, promise.new()
    world:after(50, function() cancel:give() end)
    local began, left = world.now, nil
    local result = take(world, { A }, { cancel = cancel, enter = function()
      local inside = promise.new()
      world:after(1500, function() inside:give() end)
      inside:wait()
      return function(outcome) left = outcome end
    end })
    assert.equal("cancelled", result.class)
    assert.equal(50, world.now - began)
    world:pass(2000)
    assert.is_true(left.unsent)
    assert.equal("", world:order())
  end)

  it("leaves no watcher at a token that lives on", function()
    local world, cancel = ai_world.new{ a = { says("Hello") } }, promise.new()
    take(world, { A }, { cancel = cancel })
    assert.equal(0, #cancel.waiting)
  end)
end)

describe("a breaker that is half open", function()
  -- Ten turns at once at a model whose breaker has had its time; each stands in a queue first.
  local function crowd(world, let_in)
    for _ = 1, 5 do
      world.health:began(A)
      world.health:ended(A, { class = "server" })
    end
    world:pass(7000)
    local all = {}
    world:run(function()
      for i = 1, 10 do
        all[i] = promise.new()
        task.spawn(function()
          all[i]:give(turn.run(world.given, hello, { A, B }, { deadline = world.now + 10000, first_token_ms = 2000, idle_ms = 1500, attempts = 4, going_on = 1,
            wait_most_ms = 10000, enter = function(at)
              if at == A then
                local inside = promise.new()
                world:after(500, function() inside:give() end)
                inside:wait()
                if not let_in then return nil, { class = "rate", text = "full" } end
              end
              return function() end
            end }))
        end)
      end
      for i = 1, 10 do all[i]:wait() end
    end)
  end

  it("lets one through of a crowd that stands in a queue", function()
    local world = ai_world.new{ a = { late(1000, fails(503)) }, b = { says("b") } }
    crowd(world, true)
    local asked = 0
    for _, one in ipairs(world.asked) do asked = asked + (one.target == "a" and 1 or 0) end
    assert.equal(1, asked)
    assert.equal("open", world.health:figures(A).state)
  end)

  it("is free for the next one when the probe was not let in", function()
    local world = ai_world.new{ a = { says("a") }, b = { says("b") } }
    crowd(world, false)
    assert.equal("half_open", world.health:figures(A).state)
    assert.is_true(world.health:allows(A))
  end)
end)

describe("limits and budgets", function()
  it("refuse a target before it is asked, and another is", function()
    local world = ai_world.new{ a = { says("a") }, b = { says("b") } }
    local result = take(world, { A, B }, { enter = function(at)
      if at == A then return nil, { class = "rate", text = "full" } end
      return function() end
    end })
    assert.equal("b", result.heard)
    assert.equal("b", world:order())
    assert.equal("rate", result.attempts[1].class)
    assert.equal(0, world.health:error_share(A))
  end)

  it("are told of every attempt exactly once", function()
    local world = ai_world.new{ a = { fails(500) }, b = { fails(503) }, c = { says("Hello") } }
    local result = take(world, { A, B, C })
    assert.same({ { target = "a", class = "server" }, { target = "b", class = "overload" }, { target = "c" } }, result.settled)
  end)

  it("stop the turn when all money is spent", function()
    local world = ai_world.new{ a = { says("a") } }
    local result = take(world, { A, B }, { enter = function() return nil, { class = "budget", text = "spent" } end })
    assert.equal("budget", result.class)
    assert.equal("", world:order())
  end)
end)
