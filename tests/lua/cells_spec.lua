-- SPDX-License-Identifier: Apache-2.0
--- The worker's cells, with a cell that is played here.
local cell = require "core.cell"
local cells = require "scripts.cells"
local clock = require "core.clock"
local store = require "scripts.store"
local task = require "core.task"
local timer = require "core.timer"
local watch = require "scripts.watch"

describe("a tenant's cell", function()
  local real, sent, spawned, say, ended, last_id = {}, nil, nil, nil, nil, 0

  before_each(function()
    real.spawn, real.bytes = cell.spawn, store.bundle_bytes
    sent, last_id = {}, last_id + 1
    store.bundle_bytes = function(_, hash) return "bytes of " .. hash end
    ended = nil
    cell.spawn = function(handlers)
      say = handlers.on_message
      spawned = {
        page_now = {},
        send = function(_, kind, ...) table.insert(sent, { kind, ... }) return true end,
        load = function(_, hash) table.insert(sent, { "load", hash }) handlers.on_message("loaded", hash, true, "") return true end,
        kill = function(self, why)
          ended = ended or why
          handlers.on_ended(why, self.page_now)
        end,
        dry_ms = function() return 0 end,
        ran = function() return false end, usage = function() return 0, 1 end, hold = function(_, how) table.insert(sent, { how }) end,
        budget = function() return { share_percent = 50, hard_mb = 64, slice_ms = 2, tenant = 7, weight = 0 } end,
      }
      return spawned
    end
  end)

  after_each(function()
    spawned:kill("idle")
    cell.spawn, store.bundle_bytes = real.spawn, real.bytes
  end)

  local function run(hash, call, handler)
    return cells.run({ id = -100 - last_id, slug = "t", db = "t" }, hash, call or "c1", handler or { lost = function() end }, "flows/main.lua", "a", 1, {}, {})
  end

  -- A run that notes what it hears.
  local function listener()
    local heard = {}
    local function note(kind) return function(...) table.insert(heard, { kind, ... }) end end
    return { verb = note "verb", next = note "next", failed = note "failed", lost = note "lost" }, heard
  end

  local function count(kind)
    local n = 0
    for _, message in ipairs(sent) do if message[1] == kind then n = n + 1 end end
    return n
  end

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
    assert.equal("ended", sent[#sent][5])
  end)

  it("has a version that was published before a call asks for it, and is not made for that", function()
    local tenant = { id = -100 - last_id, slug = "t", db = "t" }
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
    assert.is_nil(ended)
    late()
    assert.equal("came too late", ended)
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
    assert.equal("came too late", ended)
    assert.is_nil(cells.deaths[tenant.id])
    cell.spawn = spawn
    assert.is_true(cells.run(tenant, "h", "c1", { lost = function() end }, "flows/main.lua", "a", 1, {}, {}))
    spawned:kill("died")
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
    for _, message in ipairs(sent) do assert.is_false(message[1] == "unload" and message[2] == "h-old") end
  end)

  -- It was dropped for being old and loaded a second time; who waited for the first time waited for ever.
  it("keeps a version that is still being loaded, however many others come meanwhile", function()
    local mono_ms, now = clock.mono_ms, 0
    clock.mono_ms = function() return now end
    run("h-first", "c-first")
    local at_once, answers = spawned.load, {}
    spawned.load = function(_, hash) table.insert(sent, { "load", hash }) return true end
    task.spawn(function() answers[1] = run("h-slow", "c1") end)
    spawned.load = at_once
    for n = 1, 20 do
      now = now + 11000
      assert.is_true(run("h" .. n))
    end
    task.spawn(function() answers[2] = run("h-slow", "c2") end)
    clock.mono_ms = mono_ms
    assert.same({}, answers)
    say("loaded", "h-slow", true, "")
    assert.same({ true, true }, answers)
    local loads = 0
    for _, message in ipairs(sent) do
      if message[1] == "load" and message[2] == "h-slow" then loads = loads + 1 end
      assert.is_false(message[1] == "unload" and message[2] == "h-slow")
    end
    assert.equal(1, loads)
  end)

  -- Its failure was remembered as long as the cell lived: each call of that version went to its fallback without a try.
  it("tries a version again that it could not load, for the next call", function()
    run("h-first", "c-first")
    local works = spawned.load
    spawned.load = function(_, hash)
      table.insert(sent, { "load", hash })
      say("loaded", hash, false, "too little memory")
      return true
    end
    local ok, err = run("h-new", "c1")
    assert.is_nil(ok)
    assert.equal("too little memory", err.text)
    spawned.load = works
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
    spawned.load = function(_, hash) say("loaded", hash, false, "no") return true end
    local before = held.mapped_bytes
    assert.is_true(before > 0)
    for _ = 1, 3 do run("h-new", "c1") end
    assert.equal(before, held.mapped_bytes)
  end)

  it("keeps the version that a hook is at work in, and drops others sooner when there are very many", function()
    local tenant, answer = { id = -100 - last_id, slug = "t", db = "t" }, nil
    task.spawn(function() answer = { cells.hook(tenant, "h-hook", "scoring.lua", "scoring", {}) } end)
    for n = 1, 60 do assert.is_true(run("h" .. n)) end  -- within a moment
    assert.is_true(count("load") - count("unload") <= 33)
    for _, message in ipairs(sent) do assert.is_false(message[1] == "unload" and message[2] == "h-hook") end
    say("hooked", 1, true, 5)
    assert.same({ true, 5 }, answer)
  end)

  it("is renewed for a tenant's next run, and ends when what ran in it has", function()
    local tenant = { id = -100 - last_id, slug = "t", db = "t" }
    local up = listener()
    assert.is_true(run("h", "c1", up))
    local first, say_first, ended_first = spawned, say, nil
    first.kill = function(_, why) ended_first = why end  -- its end is told of by who ends it
    cells.renew(tenant.id)
    assert.is_false(cells.is_open(tenant.id))
    assert.is_true(run("h", "c2"))
    assert.is_true(first ~= spawned and cells.is_open(tenant.id))
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
    local tenant = { id = -100 - last_id, slug = "t", db = "t" }
    local up, heard = listener()
    assert.is_true(run("h", "c1", up))
    local say_first, ended_first = say, nil
    spawned.kill = function(_, why) ended_first = why end
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
    local tenant = { id = -100 - last_id, slug = "t", db = "t" }
    task.spawn(function() run("h", "c1") end)
    cells.renew(-1)
    go()
    cell.spawn = spawn
    assert.is_true(cells.is_open(tenant.id))
  end)

  -- The worker kept each question of a cell that answers none, and never let the cell go for being idle.
  it("that answers no hook is not waited for, and its questions are forgotten", function()
    local after = timer.after
    timer.after = function(ms, fn) return after(ms == 5000 and 5 or ms, fn) end
    local tenant = { id = -100 - last_id, slug = "t", db = "t" }
    local ok, err = cells.hook(tenant, "h", "scoring.lua", "scoring", {})
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    timer.after = after
    say("hooked", 1, true, 5)  -- too late, and no nonsense
    assert.is_nil(ended)
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
    local tenant, answers = { id = -100 - last_id, slug = "t", db = "t" }, {}
    local function ask(n) task.spawn(function() answers[n] = { cells.hook(tenant, "h", "scoring.lua", "scoring", {}) } end) end
    for n = 1, 1000 do
      ask(n)
      if due[n] then due[n]() end
    end
    assert.equal(256, count("hook"))
    assert.equal("timeout", answers[256][2].code)
    assert.equal("busy", answers[1000][2].code)
    for id = 1, 256 do say("hooked", id, true, "late") end
    assert.is_nil(ended)
    ask(1001)
    timer.after = after
    say("hooked", 257, true, 5)
    assert.same({ true, 5 }, answers[1001])
  end)

  it("gives a hook's answer to who asked for it, and nonsense ends it", function()
    local tenant, answers = { id = -100 - last_id, slug = "t", db = "t" }, {}
    for i = 1, 2 do task.spawn(function() answers[i] = { cells.hook(tenant, "h", "scoring.lua", "scoring", {}) } end) end
    say("hooked", 2, true, "second")
    say("hooked", 1, false, { text = "first" })
    assert.same({ { false, { text = "first" } }, { true, "second" } }, answers)
    assert.is_nil(ended)
    say("hooked", nil)
    assert.equal("sent a message that makes no sense", ended)
  end)

  it("may answer a hook late, and once", function()
    local after = timer.after
    timer.after = function(_, fn) return after(1, fn) end
    local ok, err = cells.hook({ id = -100 - last_id, slug = "t", db = "t" }, "h", "scoring.lua", "scoring", {})
    timer.after = after
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    say("hooked", 1, true, "late")
    assert.is_nil(ended)
    say("hooked", 1, true, "again")
    assert.equal("sent a message that makes no sense", ended)
  end)

  it("is heard for the calls it was given, in the visit it was given them for", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    for _, call in ipairs{ "c2", "another tenant's", "" } do
      say("verb", call, 1, 1, "log", { "x" }, "flows/main.lua", 1)
      say("next", call, 1, "b", {}, "flows/main.lua", 1)
      say("failed", call, 1, "error", "boom", "flows/main.lua", 1, {})
    end
    say("verb", "c1", 0, 1, "log", { "x" }, "flows/main.lua", 1)
    say("next", "c1", 2, "b", {}, "flows/main.lua", 1)
    assert.same({}, heard)
    say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
    assert.same({ { "verb", 1, 1, "log", { "x" }, "flows/main.lua", 1 } }, heard)
    assert.is_nil(ended)
  end)

  -- Each of them entered a state while the one before was still being written.
  it("ends a visit once", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    say("next", "c1", 1, "b", {}, "flows/main.lua", 1)
    say("next", "c1", 1, "c", {}, "flows/main.lua", 1)
    say("failed", "c1", 1, "error", "boom", "flows/main.lua", 1, {})
    say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
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
      ended, last_id = nil, last_id + 1  -- a tenant whose cell dies often waits
      assert.is_true(run("h" .. i, "c1", handler))
      say(unpack(message, 1, 8))
      assert.equal("sent a message that makes no sense", ended, i .. " " .. message[1])
      assert.same({ { "lost", true, {}, ended } }, heard)
    end
  end)

  -- It cost a cell that was taken over nothing.
  it("ends at an answer that nobody waits for", function()
    for i, message in ipairs{ { "pong", 1 }, { "loaded", "other", true, "" }, { "loaded", "h1", true, "" }, { "hooked", 7, true, {} } } do
      local handler, heard = listener()
      ended, last_id = nil, last_id + 1
      run("h" .. i, "c1", handler)
      if message[2] == "h1" then message[2] = "h" .. i end  -- which it has answered
      say(unpack(message))
      assert.equal("sent a message that makes no sense", ended, message[1])
      assert.same({ { "lost", true, {}, ended } }, heard)
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
      if ended or i == 1 then
        ended, last_id = nil, last_id + 1
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
      say(said())
      assert.is_nil(bad)
    end
    assert.is_true(reached > 1000)
  end)

  it("that makes no sense counts against the call its page names, and against all where it names none of them", function()
    local first, first_heard = listener()
    local second, second_heard = listener()
    run("h", "c1", first)
    run("h", "c2", second)
    spawned.page_now = { running = true, call = "c2", file = "flows/main.lua", line = 7 }
    say("nothing")
    assert.is_false(first_heard[1][2])
    assert.is_true(second_heard[1][2])
    run("h", "c1", first)
    run("h", "c2", second)
    spawned.page_now = { running = true, call = "another tenant's", file = "x", line = 7 }
    say("nothing")
    assert.is_true(first_heard[2][2] and second_heard[2][2])
    assert.same({}, first_heard[2][3])
  end)

  it("that died of itself counts against nobody but the call that ran", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    spawned:kill("died")
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
    for n = 1, 4 do task.spawn(say, "verb", "c1", 1, n, "log", { "x" }, "flows/main.lua", 1) end
    assert.is_nil(ended)
    task.spawn(say, "verb", "c1", 1, 5, "log", { "x" }, "flows/main.lua", 1)
    assert.equal(4, waiting)
    assert.equal("sent a message that makes no sense", ended)
  end)

  it("gives an error's text and place cut and clean", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    say("failed", "c1", 1, "error", "\0\255\27[2J\n\tx" .. ("x"):rep(60000), "\27\n\195\188" .. ("f"):rep(500), 3, {})
    assert.equal(2000, #heard[1][4])
    assert.equal("???[2J\n\tx", heard[1][4]:sub(1, 9))
    assert.equal(128, #heard[1][5])
    assert.equal("????f", heard[1][5]:sub(1, 5))
  end)

  describe("over time", function()
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
        if not ended then tick() end
      end
    end

    -- Uses a tenth of each second.
    local function runs()
      local at = now
      spawned.usage = function() return (now - at) / 10000, 1 end
    end

    it("is ended when it runs and does not answer", function()
      run("h")
      runs()
      pass(4)
      assert.is_nil(ended)
      pass(1)
      assert.equal("did not answer", ended)
    end)

    -- Four seconds of neighbours that left it no processor ended it, and all its calls began their states again.
    it("that was starved by its neighbours is not ended as silent, though not waited for without end", function()
      run("h")
      pass(10)
      assert.is_nil(ended)
      pass(1)
      assert.equal("did not answer", ended)
    end)

    it("has answered for nothing yet when it is given the processor after long", function()
      run("h")
      pass(8)
      runs()
      pass(1)
      assert.is_nil(ended)
      say("pong", 1)
      pass(4)
      assert.is_nil(ended)
      pass(1)
      assert.equal("did not answer", ended)
    end)

    -- A worker that was given no time for some seconds killed every busy cell at once.
    it("owes no answer to what it was not asked", function()
      run("h")
      runs()
      pass(1)
      now = now + 20000
      tick()
      assert.is_nil(ended)
      pass(4)
      assert.equal("did not answer", ended)
    end)

    -- Five hundred cells at rest took 2 % of a core from their worker, and each with a call that waited was woken every second.
    it("is left alone while its calls wait for us, and asked again once they are answered", function()
      local handler = listener()
      run("h", "c1", handler)
      runs()
      pass(1)
      pass(1, function() say("pong", 1) end)
      assert.equal(2, count("ping"))
      say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
      pass(60)
      assert.equal(2, count("ping"))
      cells.answer("c1", handler, 1, 1, true, true)
      pass(4)
      assert.equal(6, count("ping"))
      pass(1)
      assert.equal("did not answer", ended)
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
      say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
      pass(1)
      now = due_ms
      due()
      assert.is_nil(ended)  -- its call waits
      now = now + 50000
      cells.drop("c1", handler)
      now = due_ms
      due()
      assert.is_nil(ended)
      now = due_ms
      due()
      timer.after = after
      assert.equal("idle", ended)
    end)

    -- Its calls waited on a silent line, for pings were answered.
    it("is ended when it does not load a version that a call waits for", function()
      run("h", "c1")
      spawned.load = function() return true end
      local answer
      task.spawn(function() answer = { run("h2", "c2") } end)
      local pinged = 0
      pass(29, function()
        if count("ping") > pinged then
          pinged = pinged + 1
          say("pong", 1)
        end
      end)
      assert.is_nil(ended)
      pass(3, function()
        if count("ping") > pinged then
          pinged = pinged + 1
          say("pong", 1)
        end
      end)
      assert.equal("did not load a version", ended)
      assert.equal("closed", answer[2].code)
    end)

    it("is not silent while it is not read", function()
      run("h")
      spawned.dry_ms = function() return 1000 end
      pass(20)
      assert.is_nil(ended)
    end)

    it("is ended when it sends as fast as it is read for half a minute and no state of its calls ends", function()
      local handler, heard = listener()
      local other, other_heard = listener()
      run("h", "c1", handler)
      run("h", "c2", other)
      spawned.page_now = { running = true, call = "c1", file = "flows/main.lua", line = 1 }
      local since = now
      spawned.dry_ms = function() return now - since end
      local function left_over() say("verb", "gone", 1, 1, "log", {}, "flows/main.lua", 1) end
      pass(30, left_over)
      assert.is_nil(ended)
      pass(1, left_over)
      assert.equal("kept sending while its calls stood still", ended)
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
        say("verb", "working", 1, n, "log", { "x" }, "flows/main.lua", 1)
        cells.answer("working", working, 1, n, true, true)
        if #silent_heard == 0 then assert.is_true(n <= 37) end
      end)
      assert.same({ { "lost", true, {}, "did not go on" } }, silent_heard)
      say("next", "silent", 1, "b", {}, "flows/main.lua", 1)
      assert.equal(1, #silent_heard)
      for _, message in ipairs(working_heard) do assert.equal("verb", message[1]) end
      assert.is_nil(ended)
    end)

    -- Makes it come last: each look finds that it had a long turn. Pings are answered.
    local function keep_last()
      local pinged = count("ping")
      spawned.budget = function() return { share_percent = 50, hard_mb = 64, slice_ms = 2, tenant = 7, weight = 0, lets_back = 1 } end
      spawned.ran = function() return true, true, true end
      return function()
        watch.look()
        if count("ping") > pinged then
          pinged = count("ping")
          say("pong", 1)
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
      assert.is_nil(ended)
    end)

    it("that comes last has two minutes to load a version", function()
      local each
      made_as(function() each = keep_last() end)
      run("h", "c1", (listener()))
      say("verb", "c1", 1, 1, "log", { "x" }, "flows/main.lua", 1)
      spawned.load = function() return true end
      task.spawn(run, "h2", "c2")
      pass(119, each)
      assert.is_nil(ended)
      pass(3, each)
      assert.equal("did not load a version", ended)
    end)

    it("owes nothing while the worker has the turn, or when the call has left", function()
      local asking, asking_heard = listener()
      local left, left_heard = listener()
      run("h", "asking", asking)
      run("h", "left", left)
      say("verb", "asking", 1, 1, "gather", { {} }, "flows/main.lua", 1)
      cells.drop("left", left)
      pass(61)
      assert.equal(1, #asking_heard)
      assert.equal(0, #left_heard)
    end)

    it("may send as fast as it is read while its calls go on", function()
      run("h", "c1", (listener()))
      spawned.dry_ms = function() return 60000 end
      pass(60, function()
        local handler = listener()
        say("next", "c1", 1, "a", {}, "flows/main.lua", 1)
        run("h", "c1", handler)
      end)
      assert.is_nil(ended)
    end)
  end)

  -- The answer was lost and its call waited for ever.
  it("that does not read its answers is ended, so that its calls are run again", function()
    local handler, heard = listener()
    run("h", "c1", handler)
    spawned.send = function() return nil, { code = "busy", text = "the cell does not read" } end
    cells.answer("c1", handler, 1, 1, true, "x")
    assert.equal("did not read", ended)
    assert.equal("lost", heard[1][1])
  end)

  describe("that checks a bundle", function()
    local function check(result)
      local found
      task.spawn(function() found = { cells.check("bytes") } end)
      say("checked", "new", true, result)
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
      spawned.usage = function() return 9 end
      late()
      timer.after = after
      assert.equal("the check took longer than 20 s", report.problems[1].text)
    end)
  end)
end)
