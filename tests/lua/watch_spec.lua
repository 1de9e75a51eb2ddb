-- SPDX-License-Identifier: Apache-2.0
--- Holding cells from outside: the ladder, with cells played here and the clock in our hand.
local clock = require "core.clock"
local timer = require "core.timer"
local watch = require "scripts.watch"

local MB = 1024 * 1024

describe("a watched cell", function()
  local real, now, cell, held = {}, 0, nil, nil

  before_each(function()
    real.mono_ms, real.every = clock.mono_ms, timer.every
    now = 1000000
    clock.mono_ms = function() return now end
    timer.every = function() return { cancel = function() end } end  -- the looks are the spec's
    cell = { cpu_s = 0, bytes = 4 * MB, asked = 0, told = {}, shows = true, share = 50 }
    function cell.ran()
      local was_long = cell.was_long
      cell.was_long = nil
      return cell.shows, was_long, cell.runs
    end
    function cell.usage() cell.asked = cell.asked + 1 return cell.cpu_s, 1 end
    function cell.resident() return cell.bytes end
    function cell.hold(_, how) table.insert(cell.told, how) cell.stopped = how == "stop" or how ~= "go" and cell.stopped or false end
    function cell.budget() return { share_percent = cell.share, hard_mb = 64, slice_ms = 2, tenant = 7, weight = 0, lets_back = cell.lets_back } end
    function cell.kill(_, why) cell.killed = why end
    held = watch.add(cell, { id = 7, slug = "t" })
  end)

  after_each(function()
    watch.drop(held)
    clock.mono_ms, timer.every = real.mono_ms, real.every
  end)

  -- Lives for so many ms, looked at as the timer does; uses(ms of the life) -> CPU seconds in the next 250 ms, unless stopped.
  local function live(ms, uses)
    for at = 0, ms - 250, 250 do
      if not cell.stopped then cell.cpu_s = cell.cpu_s + uses(at) end
      now = now + 250
      watch.look()
      if cell.killed then return at + 250 end
    end
  end

  local function spins() return 0.25 end
  -- As share.c does: half of each second at full speed, then nothing.
  local function takes_its_share(at) return at % 1000 < 500 and 0.25 or 0 end

  describe("where the kernel lets it back", function()
    before_each(function()
      watch.drop(held)
      cell.lets_back = 1
      held = watch.add(cell, { id = 7, slug = "t" })
    end)

    it("comes last from a long turn on, until it had none for three seconds", function()
      cell.was_long = true
      live(250, function() return 0 end)
      assert.same({ "idle" }, cell.told)
      live(2750, function() return 0 end)
      cell.was_long = true
      live(3000, function() return 0 end)
      assert.same({ "idle" }, cell.told)
      live(500, function() return 0 end)
      assert.same({ "idle", "normal" }, cell.told)
    end)

    -- One that is given no time takes no slice to its end, and would be let back for it.
    it("stays last while it may wait for the core in the middle of a turn, but not for ever", function()
      cell.was_long, cell.runs = true, true
      live(10000, function() return 0 end)
      assert.same({ "idle" }, cell.told)
      live(500, function() return 0 end)
      assert.same({ "idle", "normal" }, cell.told)
    end)

    it("comes last when it takes a tenth of a core, whatever its page tells", function()
      live(2000, function() return 0.02 end)
      assert.same({}, cell.told)
      live(1000, function() return 0.03 end)
      assert.same({ "idle" }, cell.told)
    end)

    it("is last from its beginning after one that died, and no longer than after a long turn", function()
      watch.begin_last(held)
      assert.same({ "idle" }, cell.told)
      live(4000, function() return 0 end)
      assert.same({ "idle", "normal" }, cell.told)
    end)

    it("stays last for good where it was begun so", function()
      watch.last(held)
      live(5000, function() return 0 end)
      assert.same({ "idle" }, cell.told)
    end)
  end)

  it("does not come last where it could not be let back", function()
    cell.was_long = true
    live(1000, function() return 0.03 end)
    assert.same({}, cell.told)
  end)

  it("that keeps to its share is never touched", function()
    live(60000, takes_its_share)
    assert.same({}, cell.told)
  end)

  it("that takes two shares at once, the last of one second and the first of the next, is not touched", function()
    live(60000, function(at) return at % 2000 >= 500 and at % 2000 < 1500 and 0.25 or 0 end)
    assert.same({}, cell.told)
  end)

  it("that was collecting a full heap when its second was over is not touched", function()
    live(500, spins)
    cell.cpu_s = cell.cpu_s + 0.1
    live(60000, function(at) return (at + 500) % 1000 < 500 and at > 500 and 0.25 or 0 end)
    assert.same({}, cell.told)
  end)

  -- The slack was the same for all: a tenant's full heap of a GiB takes longer to collect than the whole of it.
  it("with more memory or longer slices may owe more", function()
    watch.drop(held)
    function cell.budget() return { share_percent = 50, hard_mb = 1024, slice_ms = 1000, tenant = 7, weight = 0 } end
    held = watch.add(cell, { id = 7, slug = "t" })
    cell.cpu_s = 4.5
    watch.look()
    assert.same({}, cell.told)
    cell.cpu_s = 5
    watch.look()
    assert.same({ "idle" }, cell.told)
  end)

  it("that does not stop by itself is made idle, then stopped until it has paid, then killed", function()
    live(2000, spins)
    assert.same({ "idle" }, cell.told)
    live(1000, spins)
    assert.equal("stop", cell.told[2])
    assert.is_true(held.stopped)
    local before, took = cell.cpu_s, live(60000, spins)
    assert.truthy(took > 9000 and took < 12000)
    -- While it was held it got its share and little more.
    assert.truthy((cell.cpu_s - before) / (took / 1000) < 0.6)
    assert.truthy(cell.killed:find("more processor time than its share (50 %", 1, true))
    assert.is_false(cell.stopped)  -- it was killed while it ran: the page names the call
  end)

  it("is looked at no more once it is killed", function()
    live(60000, spins)
    local asked = cell.asked
    live(2000, spins)
    assert.equal(asked, cell.asked)
  end)

  it("that keeps to its share again is forgiven and starts from the top", function()
    live(2000, spins)
    assert.same({ "idle" }, cell.told)
    live(1000, function() return 0 end)
    live(20000, takes_its_share)
    assert.same({ "idle", "normal" }, cell.told)
    live(1000, spins)
    assert.same({ "idle", "normal", "idle" }, cell.told)
  end)

  it("that is stopped goes on when it has paid", function()
    live(3250, spins)
    assert.equal("stop", cell.told[#cell.told])
    live(1000, function() return 0 end)
    assert.equal("go", cell.told[#cell.told])
    assert.is_false(held.stopped)
  end)

  it("that hides its work in the page is found out all the same", function()
    cell.shows = false
    live(4000, spins)
    assert.equal("idle", cell.told[1])
  end)

  local function rests() return 0 end

  it("that sleeps costs one clock a second, and one in four once it is at rest", function()
    cell.shows = false
    local asked = cell.asked
    live(3000, rests)
    assert.equal(3, cell.asked - asked)
    live(40000, rests)
    assert.truthy(cell.asked - asked >= 3 + 10 and cell.asked - asked <= 3 + 11)
  end)

  it("that is at rest is found out when it works though nobody asked it, whether it shows it or not", function()
    for _, shows in ipairs{ true, false } do
      cell.shows = false
      live(20000, rests)
      cell.shows = shows
      local told = #cell.told
      live(5500, spins)
      assert.truthy(#cell.told > told)
      live(40000, rests)
    end
  end)

  it("that wakes up to work has no credit for its rest", function()
    cell.shows = false
    live(19000, rests)
    now = now + 3000
    watch.wake(held)
    cell.shows = true
    live(2000, spins)
    assert.same({ "idle" }, cell.told)
  end)

  it("with a budget of its own is held to that one", function()
    watch.drop(held)
    cell.share = 100
    held = watch.add(cell, { id = 7, slug = "t" })
    live(60000, spins)
    assert.same({}, cell.told)
    watch.drop(held)
    cell.share = 10
    held = watch.add(cell, { id = 7, slug = "t" })
    held.cpu_s = cell.cpu_s
    live(500, spins)
    assert.same({ "idle" }, cell.told)
  end)

  it("that grows beyond its limit and what a process needs is killed, and the reason says what to do", function()
    cell.bytes = (64 + 32) * MB
    live(1000, takes_its_share)
    assert.is_nil(cell.killed)
    held.mapped_bytes = 4 * MB
    cell.bytes = (64 + 32 + 4) * MB
    live(1000, takes_its_share)
    assert.is_nil(cell.killed)
    cell.bytes = cell.bytes + MB
    live(1000, takes_its_share)
    assert.truthy(cell.killed:find("took 101 MiB of memory, where 100 are allowed", 1, true))
    assert.truthy(cell.killed:find("raise cells.hard_mb", 1, true))
  end)

  it("whose size cannot be read lives by its own limits", function()
    cell.resident = function() return nil, { code = "io", text = "no /proc" } end
    live(10000, takes_its_share)
    assert.is_nil(cell.killed)
  end)

  it("is not owed to when nobody looked for a while", function()
    live(500, spins)
    now = now + 30000  -- the worker stood still
    cell.cpu_s = cell.cpu_s + 15
    live(10000, takes_its_share)
    assert.same({}, cell.told)
  end)
end)

describe("a real cell that runs at full speed where others hold themselves", function()
  local in_host = require("core.worker").root and os.getenv("PARLEY_CELLS")
  if not in_host then
    pending("runs in the host, with PARLEY_CELLS=1")
    return
  end

  it("is stopped, uses nothing while it is, and goes on when it has paid", function()
    local bundle, task = require "core.bundle", require "core.task"
    local heard = {}
    local spawned = assert(require("core.cell").spawn{
      budget = { share_percent = 100, tenant = 4000000003 },
      on_message = function(kind, ...) heard[kind] = { ... } end,
      on_ended = function(why) heard.ended = why end,
    })
    assert.equal(100, spawned:budget().share_percent)
    local held = watch.add(spawned, { id = 7, slug = "t" })
    held.share = 0.02  -- the cell itself knows nothing of it, as one that was taken over
    local function wait_for(what)
      for _ = 1, 1500 do
        if what() then return true end
        task.sleep(20)
      end
    end
    local flow = 'return require("flow").define{ start = "a", a = function() while true do end end }'
    spawned:load("v1", assert(bundle.pack{ { path = "flows/main.lua", data = flow } }))
    spawned:send("limit", "c1", 2, 600000, 600000)
    spawned:send("run", "c1", "v1", "flows/main.lua", "a", 1, {}, {})
    local stopped = wait_for(function() return held.stopped end)
    task.sleep(50)
    local before = spawned:usage()
    task.sleep(400)
    local used = spawned:usage() - before
    held.share = 1  -- so that it has paid at once
    local went_on = wait_for(function() return not held.stopped end)
    spawned:send("ping", "there")
    local answered = wait_for(function() return heard.pong end)
    local page = spawned:page()
    watch.drop(held)
    spawned:kill("tested")
    assert.is_true(stopped)
    assert.equal(0, used)
    assert.is_true(went_on)
    assert.truthy(answered)
    assert.equal("c1", page.call)
  end)
end)

describe("a tenant's budget", function()
  it("that is no number is a mistake of ours", function()
    local function nothing() end
    for _, wrong in ipairs{ -1, "many", 2 ^ 32, 0 / 0, {} } do
      assert.has_error(function() require("core.cell").spawn{ on_message = nothing, on_ended = nothing, budget = { hard_mb = wrong } } end,
        "budget.hard_mb must be a number from 0 to 2^32 - 1")
    end
  end)

  it("is what its record has, and nothing that is no number", function()
    local budget = watch.budget{ id = 9, limits = { cells = { hard_mb = 128, soft_mb = "x", slice_ms = 0, share_percent = 25.5, root = 1, call_ms = 0 / 0 } } }
    assert.same({ tenant = 9, hard_mb = 128, share_percent = 25 }, budget)
  end)

  it("is the configuration's when it has none", function()
    assert.same({ tenant = 9 }, watch.budget{ id = 9 })
    assert.same({}, watch.budget{ id = -1, limits = "none" })
  end)
end)
