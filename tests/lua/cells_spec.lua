-- SPDX-License-Identifier: Apache-2.0
--- The worker's cells, with a cell that is played here.
local cell = require "core.cell"
local cells = require "scripts.cells"
local store = require "scripts.store"

describe("a tenant's cell", function()
  local real, sent, spawned, last_id = {}, nil, nil, 0

  before_each(function()
    real.spawn, real.bytes = cell.spawn, store.bundle_bytes
    sent, last_id = {}, last_id + 1
    store.bundle_bytes = function(_, hash) return "bytes of " .. hash end
    cell.spawn = function(handlers)
      spawned = {
        send = function(_, kind, ...) table.insert(sent, { kind, ... }) return true end,
        load = function(_, hash) table.insert(sent, { "load", hash }) handlers.on_message("loaded", hash, true, "") return true end,
        kill = function(_, why) handlers.on_ended(why, {}) end,
      }
      return spawned
    end
  end)

  after_each(function()
    spawned:kill("idle")
    cell.spawn, store.bundle_bytes = real.spawn, real.bytes
  end)

  local function run(hash, call)
    return cells.run({ id = -100 - last_id, slug = "t", db = "t" }, hash, call or "c1", { lost = function() end }, "flows/main.lua", "a", 1, {}, {})
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
    local task = require "core.task"
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

  it("that is not made in time leaves nobody waiting", function()
    local task, timer = require "core.task", require "core.timer"
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
    late()  -- it is ended then
  end)

  it("has room for the newest version however often a busy tenant publishes", function()
    local clock = require "core.clock"
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
end)

describe("a cell that is no cell any more", function()
  local process = require "core.process"
  local task = require "core.task"
  local in_host = require("core.worker").root and os.getenv("PARLEY_CELLS")
  if not in_host then
    pending("runs in the host, with PARLEY_CELLS=1")
    return
  end

  local function spawn()
    local heard = { pongs = 0 }
    local spawned = assert(cell.spawn{
      on_message = function(kind) if kind == "pong" then heard.pongs = heard.pongs + 1 end end,
      on_ended = function(why) heard.ended = why end,
    })
    return spawned, heard
  end

  it("cannot fill the worker's memory by not reading", function()
    local spawned = spawn()
    local _, pid = spawned:usage()
    process.run{ argv = { "kill", "-STOP", tostring(pid) }, timeout_s = 5 }
    local sent, ok, err = 0
    repeat
      ok, err = spawned:send("ping", ("x"):rep(60000))
      sent = sent + 1
    until not ok or sent > 1000
    assert.equal("limit", err.code)
    assert.truthy(sent < 100)
    spawned:kill("tested")
  end)

  it("is ended when it sends more than flows ever need", function()
    local spawned, heard = spawn()
    for _ = 1, 600 do
      while not heard.ended and not spawned:send("ping", ("x"):rep(60000)) do task.sleep(1) end
      if heard.ended then break end
    end
    for _ = 1, 100 do
      if heard.ended then break end
      task.sleep(10)
    end
    assert.equal("sent too much", heard.ended)
  end)
end)
