-- SPDX-License-Identifier: Apache-2.0
--- What a cell owes its worker as time passes, with a cell that is played here and a clock that is set here.
local cell = require "core.cell"
local cells = require "scripts.cells"
local clock = require "core.clock"
local task = require "core.task"
local timer = require "core.timer"
local watch = require "scripts.watch"
local world = require "cell_world"

describe("a tenant's cell over time", function()
  local count, listener, run = world.count, world.listener, world.run
  before_each(world.open)
  after_each(world.close)

  local every, tick, mono_ms, now = timer.every, nil, clock.mono_ms, nil

  before_each(function()
    now = 1000
    clock.mono_ms = function() return now end
    timer.every = function(_, fn)
      tick = fn
      return { cancel = function() if tick == fn then tick = function() end end end }
    end
  end)
  after_each(function() timer.every, clock.mono_ms = every, mono_ms end)

  local function pass(seconds, each)
    for _ = 1, seconds do
      now = now + 1000
      if each then each() end
      if not world.ended then tick() end
    end
  end

  -- Uses a tenth of each second.
  local function runs()
    local at = now
    world.spawned.usage = function() return (now - at) / 10000, 1 end
  end

  it("is ended when it runs and does not answer", function()
    run("h")
    runs()
    pass(4)
    assert.is_nil(world.ended)
    pass(1)
    assert.equal("did not answer", world.ended)
  end)

  -- Four seconds of neighbours that left it no processor ended it, and all its calls began their states again.
  it("that was starved by its neighbours is not ended as silent, though not waited for without end", function()
    run("h")
    pass(10)
    assert.is_nil(world.ended)
    pass(1)
    assert.equal("did not answer", world.ended)
  end)

  -- For ten seconds, as if it were given no processor.
  it("that slept and did not read was waited for", function()
    run("h")
    world.spawned.state = function() return "S" end
    pass(4)
    assert.is_nil(world.ended)
    pass(1)
    assert.equal("did not answer", world.ended)
  end)

  it("is no sleeper when it waited for a processor once since it was asked, or its state is not known", function()
    run("h")
    for _, state in ipairs{ "R", "D", "T", false } do
      world.spawned.state = function() return "S" end
      pass(2)
      world.spawned.state = function() if state then return state end return nil, { code = "io" } end
      pass(1)
      world.spawned.state = function() return "S" end
      pass(4)
      assert.is_nil(world.ended)
      world.say("pong", 1)
    end
    pass(4)
    assert.is_nil(world.ended)
    pass(1)
    assert.equal("did not answer", world.ended)
  end)

  it("has answered for nothing yet when it is given the processor after long", function()
    run("h")
    pass(8)
    runs()
    pass(1)
    assert.is_nil(world.ended)
    world.say("pong", 1)
    pass(4)
    assert.is_nil(world.ended)
    pass(1)
    assert.equal("did not answer", world.ended)
  end)

  -- A worker that was given no time for some seconds killed every busy cell at once.
  it("owes no answer to what it was not asked", function()
    run("h")
    runs()
    pass(1)
    now = now + 20000
    tick()
    assert.is_nil(world.ended)
    pass(4)
    assert.equal("did not answer", world.ended)
  end)

  -- Five hundred cells at rest took 2 % of a core from their worker, and each with a call that waited was woken every second.
  it("is left alone while its calls wait for us, and asked again once they are answered", function()
    local handler = listener()
    run("h", "c1", handler)
    runs()
    pass(1)
    pass(1, function() world.say("pong", 1) end)
    assert.equal(2, count("ping"))
    world.say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
    pass(60)
    assert.equal(2, count("ping"))
    cells.answer("c1", handler, 1, 1, true, true)
    pass(4)
    assert.equal(6, count("ping"))
    pass(1)
    assert.equal("did not answer", world.ended)
  end)

  it("is ended when no call has used it for two minutes", function()
    local after, due_ms, due = timer.after, nil, nil
    timer.after = function(ms, fn)
      if ms < 40000 then return after(ms, fn) end
      due_ms, due = now + ms, fn
      return { cancel = function() end }
    end
    local handler = listener()
    run("h", "c1", handler)
    world.say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
    pass(1)
    now = due_ms
    due()
    assert.is_nil(world.ended)  -- its call waits
    now = now + 50000
    cells.drop("c1", handler)
    now = due_ms
    due()
    assert.is_nil(world.ended)
    now = due_ms
    due()
    timer.after = after
    assert.equal("idle", world.ended)
  end)

  -- Its calls waited on a silent line, for pings were answered.
  it("is ended when it does not load a version that a call waits for", function()
    run("h", "c1")
    world.spawned.load = function() return true end
    local answer
    task.spawn(function() answer = { run("h2", "c2") } end)
    local pinged = 0
    pass(29, function()
      if count("ping") > pinged then
        pinged = pinged + 1
        world.say("pong", 1)
      end
    end)
    assert.is_nil(world.ended)
    pass(3, function()
      if count("ping") > pinged then
        pinged = pinged + 1
        world.say("pong", 1)
      end
    end)
    assert.equal("did not load a version", world.ended)
    assert.equal("closed", answer[2].code)
  end)

  it("is not silent while it is not read", function()
    run("h")
    world.spawned.dry_ms = function() return 1000 end
    pass(20)
    assert.is_nil(world.ended)
  end)

  it("is ended when it sends as fast as it is read for half a minute and no state of its calls ends", function()
    local handler, heard = listener()
    local other, other_heard = listener()
    run("h", "c1", handler)
    run("h", "c2", other)
    world.spawned.page_now = { running = true, call = "c1", file = "flows/main.lua", line = 1 }
    local since = now
    world.spawned.dry_ms = function() return now - since end
    local function left_over() world.say("verb", "gone", 1, 1, "log", {}, "flows/main.lua", 1) end
    pass(30, left_over)
    assert.is_nil(world.ended)
    pass(1, left_over)
    assert.equal("kept sending while its calls stood still", world.ended)
    assert.is_true(heard[1][2] and other_heard[1][2])
  end)

  it("runs a state again that says nothing for half a minute, and so counts it against the call", function()
    local silent, silent_heard = listener()
    local working, working_heard = listener()
    run("h", "silent", silent)
    run("h", "working", working)
    local n = 0
    pass(60, function()
      n = n + 1
      world.say("verb", "working", 1, n, "log", { "x" }, "flows/main.lua", 1)
      cells.answer("working", working, 1, n, true, true)
      if #silent_heard == 0 then assert.is_true(n <= 37) end
    end)
    assert.same({ { "lost", true, {}, "did not go on" } }, silent_heard)
    world.say("next", "silent", 1, "b", {}, "flows/main.lua", 1)
    assert.equal(1, #silent_heard)
    for _, message in ipairs(working_heard) do assert.equal("verb", message[1]) end
    assert.is_nil(world.ended)
  end)

  -- Makes it come last: each look finds that it had a long turn. Pings are answered.
  local function keep_last()
    local pinged = count("ping")
    world.spawned.budget = function() return { share_percent = 50, hard_mb = 64, slice_ms = 2, tenant = 7, weight = 0, lets_back = 1 } end
    world.spawned.ran = function() return true, true, true end
    return function()
      watch.look()
      if count("ping") > pinged then
        pinged = count("ping")
        world.say("pong", 1)
      end
    end
  end

  local function made_as(change)
    local spawn = cell.spawn
    cell.spawn = function(handlers)
      local one = spawn(handlers)
      change(one)
      return one
    end
  end

  it("that comes last has two minutes for a state, and then no more", function()
    local each
    made_as(function() each = keep_last() end)
    local silent, heard = listener()
    run("h", "c1", silent)
    pass(120, each)
    assert.equal(1, count("idle"))
    assert.equal(0, #heard)
    pass(10, each)
    assert.same({ { "lost", true, {}, "did not go on" } }, heard)
    assert.is_nil(world.ended)
  end)

  it("that comes last has two minutes to load a version", function()
    local each
    made_as(function() each = keep_last() end)
    run("h", "c1", (listener()))
    world.say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
    world.spawned.load = function() return true end
    task.spawn(run, "h2", "c2")
    pass(119, each)
    assert.is_nil(world.ended)
    pass(3, each)
    assert.equal("did not load a version", world.ended)
  end)

  it("owes nothing while the worker has the turn, or when the call has left", function()
    local asking, asking_heard = listener()
    local left, left_heard = listener()
    run("h", "asking", asking)
    run("h", "left", left)
    world.say("verb", "asking", 1, 1, "gather", { {} }, "flows/main.lua", 1)
    cells.drop("left", left)
    pass(61)
    assert.equal(1, #asking_heard)
    assert.equal(0, #left_heard)
  end)

  it("may send as fast as it is read while its calls go on", function()
    run("h", "c1", (listener()))
    world.spawned.dry_ms = function() return 60000 end
    pass(60, function()
      local handler = listener()
      world.say("next", "c1", 1, "a", {}, "flows/main.lua", 1)
      run("h", "c1", handler)
    end)
    assert.is_nil(world.ended)
  end)
end)
