-- SPDX-License-Identifier: Apache-2.0
--- What a cell may say to its worker, with a cell that is played here.
local cells = require "scripts.cells"
local task = require "core.task"
local timer = require "core.timer"
local world = require "cell_world"

describe("a tenant's cell", function()
  local count, listener, run = world.count, world.listener, world.run
  before_each(world.open)
  after_each(world.close)

  it("that answers no hook is not waited for, and its questions are forgotten", function()
    local after = timer.after
    timer.after = function(ms, fn) return after(ms == 5000 and 5 or ms, fn) end
    local tenant = world.tenant()
    local ok, err = cells.hook(tenant, "h", "scoring.lua", "scoring", {})
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    timer.after = after
    world.say("hooked", 1, true, 5)  -- too late, and no nonsense
    assert.is_nil(world.ended)
  end)

  -- Each was remembered for as long as the cell lived.
  it("that answers no hook is asked no more of them than it may still answer, until it does", function()
    assert.is_true(run("h"))
    local after, due = timer.after, {}
    timer.after = function(ms, fn)
      if ms ~= 5000 then return after(ms, fn) end
      due[#due + 1] = fn
      return { cancel = function() end }
    end
    local tenant, answers = world.tenant(), {}
    local function ask(n) task.spawn(function() answers[n] = { cells.hook(tenant, "h", "scoring.lua", "scoring", {}) } end) end
    for n = 1, 1000 do
      ask(n)
      if due[n] then due[n]() end
    end
    assert.equal(256, count("hook"))
    assert.equal("timeout", answers[256][2].code)
    assert.equal("busy", answers[1000][2].code)
    for id = 1, 256 do world.say("hooked", id, true, "late") end
    assert.is_nil(world.ended)
    ask(1001)
    timer.after = after
    world.say("hooked", 257, true, 5)
    assert.same({ true, 5 }, answers[1001])
  end)

  it("gives a hook's answer to who asked for it, and nonsense ends it", function()
    local tenant, answers = world.tenant(), {}
    for i = 1, 2 do task.spawn(function() answers[i] = { cells.hook(tenant, "h", "scoring.lua", "scoring", {}) } end) end
    world.say("hooked", 2, true, "second")
    world.say("hooked", 1, false, { text = "first" })
    assert.same({ { false, { text = "first" } }, { true, "second" } }, answers)
    assert.is_nil(world.ended)
    world.say("hooked", nil)
    assert.equal("sent a message that makes no sense", world.ended)
  end)

  it("may answer a hook late, and once", function()
    local after = timer.after
    timer.after = function(_, fn) return after(1, fn) end
    local ok, err = cells.hook(world.tenant(), "h", "scoring.lua", "scoring", {})
    timer.after = after
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    world.say("hooked", 1, true, "late")
    assert.is_nil(world.ended)
    world.say("hooked", 1, true, "again")
    assert.equal("sent a message that makes no sense", world.ended)
  end)

  it("is heard for the calls it was given, in the visit it was given them for", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    for _, call in ipairs{ "c2", "another tenant's", "" } do
      world.say("verb", call, 1, 1, "log", { "x" }, "flows/main.lua", 1)
      world.say("next", call, 1, "b", {}, "flows/main.lua", 1)
      world.say("failed", call, 1, "error", "boom", "flows/main.lua", 1, {})
    end
    world.say("verb", "c1", 0, 1, "log", { "x" }, "flows/main.lua", 1)
    world.say("next", "c1", 2, "b", {}, "flows/main.lua", 1)
    assert.same({}, heard)
    world.say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
    assert.same({ { "verb", 1, 1, "log", { "x" }, "flows/main.lua", 1 } }, heard)
    assert.is_nil(world.ended)
  end)

  -- Each of them entered a state while the one before was still being written.
  it("ends a visit once", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    world.say("next", "c1", 1, "b", {}, "flows/main.lua", 1)
    world.say("next", "c1", 1, "c", {}, "flows/main.lua", 1)
    world.say("failed", "c1", 1, "error", "boom", "flows/main.lua", 1, {})
    world.say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
    assert.same({ { "next", 1, "b", {}, "flows/main.lua", 1 } }, heard)
  end)

  it("ends at the first message that makes no sense, whatever it is", function()
    local deep, nan = { {} }, 0 / 0
    local c129 = ("c"):rep(129)
    for i, message in ipairs{
      { "nothing" }, { "load", "h" }, { "loaded" }, { "loaded", "h", 1, "" }, { "loaded", "h", false, {} }, { "loaded", {}, true, "" },
      { "checked", "new", true, {} }, { "covered", "flows/main.lua", "11" },  -- nobody asked
      { "hooked", "1", true }, { "hooked", 1, 1, {} }, { "hooked", 1, false, "x" }, { "hooked", 1, false }, { "hooked", nan, true, {} },
      { "verb" }, { "verb", 5, 1, 1, "log", {}, "f", 1 }, { "verb", c129, 1, 1, "log", {}, "f", 1 }, { "verb", "c1", "1", 1, "log", {}, "f", 1 },
      { "verb", "c1", -1, 1, "log", {}, "f", 1 }, { "verb", "c1", 1.5, 1, "log", {}, "f", 1 }, { "verb", "c1", nan, 1, "log", {}, "f", 1 },
      { "verb", "c1", 1, 0, "log", {}, "f", 1 }, { "verb", "c1", 1, 2 ^ 40, "log", {}, "f", 1 }, { "verb", "c1", 1, 1, "", {}, "f", 1 },
      { "verb", "c1", 1, 1, "lo g", {}, "f", 1 }, { "verb", "c1", 1, 1, ("l"):rep(65), {}, "f", 1 }, { "verb", "c1", 1, 1, deep, {}, "f", 1 },
      { "verb", "c1", 1, 1, "log", "x", "f", 1 }, { "verb", "c1", 1, 1, "log", nil, "f", 1 }, { "verb", "c1", 1, 1, "log", {}, c129, 1 },
      { "verb", "c1", 1, 1, "log", {}, "f", -1 }, { "verb", "c1", 1, 1, "log", {} },
      { "next", "c1", 1, 5, {}, "f", 1 }, { "next", "c1", 1, deep, {}, "f", 1 }, { "next", nil, 1, "b", {}, "f", 1 }, { "next", "c1", 1 / 0, "b", {}, "f", 1 },
      { "next", "c1", 1, "b", {} },
      { "failed", "c1", 1, "error", 5, "f", 1 }, { "failed", "c1", 1, "no\nword", "t", "f", 1 }, { "failed", "c1", 1, "error", "t", 5, 1 },
      { "failed", "c1", 1, "error", "t", "f", -1 }, { "failed", "c1", 1, "error", "t", "f", nan }, { "failed", "c1", 1, "error", "t", "f" },
    } do
      local handler, heard = listener()
      world.next_tenant()  -- a tenant whose cell dies often waits
      assert.is_true(run("h" .. i, "c1", handler))
      world.say(unpack(message, 1, 8))
      assert.equal("sent a message that makes no sense", world.ended, i .. " " .. message[1])
      assert.same({ { "lost", true, {}, world.ended } }, heard)
    end
  end)

  -- It cost a cell that was taken over nothing.
  it("ends at an answer that nobody waits for", function()
    for i, message in ipairs{ { "pong", 1 }, { "loaded", "other", true, "" }, { "loaded", "h1", true, "" }, { "hooked", 7, true, {} } } do
      local handler, heard = listener()
      world.next_tenant()
      run("h" .. i, "c1", handler)
      if message[2] == "h1" then message[2] = "h" .. i end  -- which it has answered
      world.say(unpack(message))
      assert.equal("sent a message that makes no sense", world.ended, message[1])
      assert.same({ { "lost", true, {}, world.ended } }, heard)
    end
  end)

  it("brings nothing but what was checked to a call's flow, whatever it says", function()
    math.randomseed(os.time())
    local values = { "c1", 1, 2, 0, -1, 1.5, 2 ^ 53, 1 / 0, 0 / 0, true, false, "", "log", "a.b", "\0\255", ("x"):rep(5000), {}, { 1 }, { { x = 1 } } }
    local sound = { { "verb", "c1", 1, 1, "log", { "x" }, "f", 1 }, { "verb", "c1", 1, 7, "hangup", {}, "", 0 }, { "next", "c1", 1, "b", {}, "f", 1 },
      { "next", "c1", 1, nil, nil, "", 0 }, { "failed", "c1", 1, "error", "t", "f", 1 }, { "loaded", "h", true, "" }, { "checked", "h", true, {} },
      { "pong", 1 }, { "hooked", 1, true, {} }, { "hooked", 1, false, { text = "t" } }, { "covered", "f", "1" } }
    local function said()
      local message = { unpack(sound[math.random(#sound)], 1, 8) }
      for _ = 1, math.random(0, 2) do message[math.random(2, 8)] = math.random(12) > 1 and values[math.random(#values)] or nil end
      return unpack(message, 1, 8)
    end
    local bad, reached
    local function note(check)
      return function(...)
        reached = reached + 1
        if not check(...) then bad = { ... } end
      end
    end
    reached = 0
    for i = 1, 20000 do
      if world.ended or i == 1 then
        world.next_tenant()
        cells.deaths = {}
        run("h", "c1", {
          verb = note(function(visit, n, name, args) return visit == 1 and n >= 1 and n == math.floor(n) and #name <= 64 and type(args) == "table" end),
          next = note(function(visit, state) return visit == 1 and (state == nil or type(state) == "string") end),
          failed = note(function(visit, kind, text, file, line)
            return visit == 1 and #kind <= 64 and #text <= 2000 and #file <= 128 and line >= 0 and not text:find("[%z\255]")
          end),
          lost = note(function(mine) return mine == true end),
        })
      end
      world.say(said())
      assert.is_nil(bad)
    end
    assert.is_true(reached > 1000)
  end)

  it("that makes no sense counts against the call its page names, and against all where it names none of them", function()
    local first, first_heard = listener()
    local second, second_heard = listener()
    run("h", "c1", first)
    run("h", "c2", second)
    world.spawned.page_now = { running = true, call = "c2", file = "flows/main.lua", line = 7 }
    world.say("nothing")
    assert.is_false(first_heard[1][2])
    assert.is_true(second_heard[1][2])
    run("h", "c1", first)
    run("h", "c2", second)
    world.spawned.page_now = { running = true, call = "another tenant's", file = "x", line = 7 }
    world.say("nothing")
    assert.is_true(first_heard[2][2] and second_heard[2][2])
    assert.same({}, first_heard[2][3])
  end)

  it("that died of itself counts against nobody but the call that ran", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    world.spawned:kill("died")
    assert.is_false(heard[1][2])
  end)

  -- Each waited in a task of its own, as many as it cared to send.
  it("has a few verbs of a run under way at a time, and no more", function()
    local waiting = 0
    local handler = { lost = function() end, verb = function()
      waiting = waiting + 1
      task.wait(function() end)
    end }
    run("h", "c1", handler)
    for n = 1, 4 do task.spawn(world.say, "verb", "c1", 1, n, "log", { "x" }, "flows/main.lua", 1) end
    assert.is_nil(world.ended)
    task.spawn(world.say, "verb", "c1", 1, 5, "log", { "x" }, "flows/main.lua", 1)
    assert.equal(4, waiting)
    assert.equal("sent a message that makes no sense", world.ended)
  end)

  it("gives an error's text and place cut and clean", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    world.say("failed", "c1", 1, "error", "\0\255\27[2J\n\tx" .. ("x"):rep(60000), "\27\n\195\188" .. ("f"):rep(500), 3, {})
    assert.equal(2000, #heard[1][4])
    assert.equal("???[2J\n\tx", heard[1][4]:sub(1, 9))
    assert.equal(128, #heard[1][5])
    assert.equal("????f", heard[1][5]:sub(1, 5))
  end)
end)
