-- SPDX-License-Identifier: Apache-2.0
--- The worker's cells, with a cell that is played here: how one is made, which versions it has, how a bundle is checked.
local cell = require "core.cell"
local cells = require "scripts.cells"
local clock = require "core.clock"
local store = require "scripts.store"
local task = require "core.task"
local timer = require "core.timer"
local watch = require "scripts.watch"
local world = require "cell_world"

describe("a tenant's cell", function()
  local count, listener, run = world.count, world.listener, world.run
  before_each(world.open)
  after_each(world.close)

  -- It waited for ever for a bundle whose reading had failed.
  it("asks again for a bundle that could not be read", function()
    store.bundle_bytes = function() error("the database is away", 0) end
    local ok, err = run("h0")
    assert.is_nil(ok)
    assert.equal("away", err.code)
    store.bundle_bytes = function() return "bytes" end
    assert.is_true(run("h0"))
  end)

  -- The older run was sent behind the newer one, which then never ended: the call's row stayed open.
  it("is not asked to run a state that was left while it was made", function()
    local go
    store.bundle_bytes = function()
      task.wait(function(resume) go = resume end)
      return "bytes"
    end
    local tenant, left, new = { id = -1000, slug = "t", db = "t" }, { lost = function() end }, { lost = function() end }
    local answers = {}
    task.spawn(function() answers.left = cells.run(tenant, "h", "c1", left, "flows/main.lua", "a", 1, {}, {}) end)
    cells.drop("c1", left)
    task.spawn(function() answers.new = cells.run(tenant, "h", "c1", new, "flows/main.lua", "ended", 2, {}, {}) end)
    go()
    assert.is_nil(answers.left)
    assert.is_true(answers.new)
    assert.equal(1, count("run"))
    assert.equal("ended", world.sent[#world.sent][5])
  end)

  it("has a version that was published before a call asks for it, and is not made for that", function()
    local tenant = world.tenant()
    cells.warm(tenant, "new")
    assert.is_false(cells.is_open(tenant.id))
    assert.equal(0, count("load"))
    run("old")
    assert.is_true(cells.is_open(tenant.id))
    cells.warm(tenant, "new")
    assert.equal(2, count("load"))
    run("new", "c2")
    assert.equal(2, count("load"))
  end)

  it("that is not made in time leaves nobody waiting", function()
    local after = timer.after
    local spawn = cell.spawn
    timer.after = function(_, fn) return after(10, fn) end
    local late
    cell.spawn = function(handlers)
      task.wait(function(resume) late = resume end)
      return spawn(handlers)
    end
    local ok, err = cells.run({ id = -1001, slug = "t", db = "t" }, "h", "c1", { lost = function() end }, "flows/main.lua", "a", 1, {}, {})
    timer.after = after
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.is_nil(world.ended)
    late()
    assert.equal("came too late", world.ended)
  end)

  -- Each one made a tenant's next cell wait longer, on a machine that was too slow already.
  it("that came too late is no death of its tenant's", function()
    local after, spawn = timer.after, cell.spawn
    timer.after = function(_, fn) return after(10, fn) end
    local tenant, late = { id = -1002, slug = "t", db = "t" }, nil
    cell.spawn = function(handlers)
      task.wait(function(resume) late = resume end)
      return spawn(handlers)
    end
    cells.run(tenant, "h", "c1", { lost = function() end }, "flows/main.lua", "a", 1, {}, {})
    late()
    timer.after = after
    assert.equal("came too late", world.ended)
    assert.is_nil(cells.deaths[tenant.id])
    cell.spawn = spawn
    assert.is_true(cells.run(tenant, "h", "c1", { lost = function() end }, "flows/main.lua", "a", 1, {}, {}))
    world.spawned:kill("died")
    assert.equal(1, cells.deaths[tenant.id])
  end)

  it("has room for the newest version however often a busy tenant publishes", function()
    local mono_ms, now = clock.mono_ms, 0
    clock.mono_ms = function() return now end
    run("h-old", "c-old")
    for n = 1, 40 do
      now = now + 11000
      assert.is_true(run("h" .. n))
    end
    clock.mono_ms = mono_ms
    assert.truthy(count("load") - count("unload") <= 9)
    for _, message in ipairs(world.sent) do assert.is_false(message[1] == "unload" and message[2] == "h-old") end
  end)

  -- It was dropped for being old and loaded a second time; who waited for the first time waited for ever.
  it("keeps a version that is still being loaded, however many others come meanwhile", function()
    local mono_ms, now = clock.mono_ms, 0
    clock.mono_ms = function() return now end
    run("h-first", "c-first")
    local at_once, answers = world.spawned.load, {}
    world.spawned.load = function(_, hash) table.insert(world.sent, { "load", hash }) return true end
    task.spawn(function() answers[1] = run("h-slow", "c1") end)
    world.spawned.load = at_once
    for n = 1, 20 do
      now = now + 11000
      assert.is_true(run("h" .. n))
    end
    task.spawn(function() answers[2] = run("h-slow", "c2") end)
    clock.mono_ms = mono_ms
    assert.same({}, answers)
    world.say("loaded", "h-slow", true, "")
    assert.same({ true, true }, answers)
    local loads = 0
    for _, message in ipairs(world.sent) do
      if message[1] == "load" and message[2] == "h-slow" then loads = loads + 1 end
      assert.is_false(message[1] == "unload" and message[2] == "h-slow")
    end
    assert.equal(1, loads)
  end)

  -- Its failure was remembered as long as the cell lived: each call of that version went to its fallback without a try.
  it("tries a version again that it could not load, for the next call", function()
    run("h-first", "c-first")
    local works = world.spawned.load
    world.spawned.load = function(_, hash)
      table.insert(world.sent, { "load", hash })
      world.say("loaded", hash, false, "too little memory")
      return true
    end
    local ok, err = run("h-new", "c1")
    assert.is_nil(ok)
    assert.equal("too little memory", err.text)
    world.spawned.load = works
    assert.is_true(run("h-new", "c2"))
    assert.equal(3, count("load"))
    assert.is_true(run("h-new", "c3"))
    assert.equal(3, count("load"))
  end)

  it("counts the bytes of versions it holds, and not of those it could not load", function()
    local add, held = watch.add, nil
    watch.add = function(...)
      held = add(...)
      return held
    end
    run("h-first", "c-first")
    watch.add = add
    world.spawned.load = function(_, hash) world.say("loaded", hash, false, "no") return true end
    local before = held.mapped_bytes
    assert.is_true(before > 0)
    for _ = 1, 3 do run("h-new", "c1") end
    assert.equal(before, held.mapped_bytes)
  end)

  it("keeps the version that a hook is at work in, and drops others sooner when there are very many", function()
    local tenant, answer = world.tenant(), nil
    task.spawn(function() answer = { cells.hook(tenant, "h-hook", "scoring.lua", "scoring", {}) } end)
    for n = 1, 60 do assert.is_true(run("h" .. n)) end  -- within a moment
    assert.is_true(count("load") - count("unload") <= 33)
    for _, message in ipairs(world.sent) do assert.is_false(message[1] == "unload" and message[2] == "h-hook") end
    world.say("hooked", 1, true, 5)
    assert.same({ true, 5 }, answer)
  end)

  it("is renewed for a tenant's next run, and ends when what ran in it has", function()
    local tenant = world.tenant()
    local up = listener()
    assert.is_true(run("h", "c1", up))
    local first, say_first, ended_first = world.spawned, world.say, nil
    first.kill = function(_, why) ended_first = why end  -- its end is told of by who ends it
    cells.renew(tenant.id)
    assert.is_false(cells.is_open(tenant.id))
    assert.is_true(run("h", "c2"))
    assert.is_true(first ~= world.spawned and cells.is_open(tenant.id))
    local heard
    up.next = function() heard = true end
    say_first("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
    assert.is_nil(ended_first)
    say_first("next", "c1", 1, "b", {}, "flows/main.lua", 1)
    assert.is_true(heard)
    assert.equal("idle", ended_first)
    assert.is_true(cells.is_open(tenant.id))
  end)

  -- The old process was there for as long as the worker, and its end counted against the call.
  it("that is renewed ends when its last call goes on in another", function()
    local tenant = world.tenant()
    local up, heard = listener()
    assert.is_true(run("h", "c1", up))
    local say_first, ended_first = world.say, nil
    world.spawned.kill = function(_, why) ended_first = why end
    cells.renew(tenant.id)
    up.next = function() run("h", "c1", (listener())) end
    say_first("next", "c1", 1, "b", {}, "flows/main.lua", 1)
    assert.equal("idle", ended_first)
    assert.same({}, heard)
    assert.is_true(cells.is_open(tenant.id))
  end)

  it("is not ended because another tenant's is renewed while it is made", function()
    local go
    store.bundle_bytes = function() return "bytes" end
    local spawn = cell.spawn
    cell.spawn = function(handlers)
      task.wait(function(resume) go = resume end)
      return spawn(handlers)
    end
    local tenant = world.tenant()
    task.spawn(function() run("h", "c1") end)
    cells.renew(-1)
    go()
    cell.spawn = spawn
    assert.is_true(cells.is_open(tenant.id))
  end)

  -- The worker kept each question of a cell that answers none, and never let the cell go for being idle.
  -- The answer was lost and its call waited for ever.
  it("that does not read its answers is ended, so that its calls are run again", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    world.spawned.send = function() return nil, { code = "busy", text = "the cell does not read" } end
    cells.answer("c1", handler, 1, 1, true, "x")
    assert.equal("did not read", world.ended)
    assert.equal("lost", heard[1][1])
  end)

  describe("that checks a bundle", function()
    local function check(result)
      local found
      task.spawn(function() found = { cells.check("bytes") } end)
      world.say("checked", "new", true, result)
      return unpack(found)
    end

    local real_load
    before_each(function()
      real_load = cell.spawn
      local spawn = cell.spawn
      cell.spawn = function(handlers)
        local made = spawn(handlers)
        made.load = function()
          handlers.on_message("loaded", "new", true, "")
          return true
        end
        return made
      end
    end)
    after_each(function() cell.spawn = real_load end)

    it("says what was found, and comes last where processors are short", function()
      local flows = { ["flows/main.lua"] = { start = "a", states = { "a", "b" } } }
      assert.same({ problems = {}, flows = flows, files = {}, bundle = { x = 1 } }, (check{ problems = {}, flows = flows, bundle = { x = 1 } }))
      assert.equal(1, count("idle"))
    end)

    it("cannot break who reads its report", function()
      local report = check{ problems = { 5, { file = {}, line = "x", text = {} }, { text = "\255" .. ("x"):rep(9999) } },
        flows = { [1] = {}, x = 5, ["flows/a.lua"] = { start = {}, states = { {}, "a", n = 1 } } } }
      assert.same({ text = "?" }, report.problems[1])
      assert.equal(2000, #report.problems[2].text)
      assert.same({ ["flows/a.lua"] = { states = { "?", "a" } } }, report.flows)
    end)

    it("and is given no processor in time is no fault of the bundle", function()
      local after, late = timer.after, nil
      timer.after = function(_, fn)
        late = fn
        return { cancel = function() end }
      end
      local report, err
      task.spawn(function() report, err = cells.check("bytes") end)
      late()
      assert.is_nil(report)
      assert.equal("busy", err.code)
      task.spawn(function() report = cells.check("bytes") end)
      world.spawned.usage = function() return 9 end
      late()
      timer.after = after
      assert.equal("the check took longer than 20 s", report.problems[1].text)
    end)
  end)
end)
