-- SPDX-License-Identifier: Apache-2.0
--- A real cell's process as the worker sees it: how fast it is read, what waits for it, and how it is held.
local cell = require "core.cell"
local clock = require "core.clock"
local process = require "core.process"
local task = require "core.task"

describe("a cell that is no cell any more", function()
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
    assert.equal("busy", err.code)
    assert.truthy(sent < 100)
    spawned:kill("tested")
  end)

  -- 24 MiB: a burst of 16, then 4 a second. It was ended for it.
  it("is read no faster than it may send, waits meanwhile, and loses nothing", function()
    local spawned, heard = spawn()
    local began, sent, dry_ms = clock.mono_ms(), 0, 0
    while sent < 400 do
      if spawned:send("ping", ("x"):rep(61440)) then sent = sent + 1 else task.sleep(1) end
      dry_ms = math.max(dry_ms, spawned:dry_ms())
    end
    while heard.pongs < 400 and clock.mono_ms() - began < 20000 do
      dry_ms = math.max(dry_ms, spawned:dry_ms())
      task.sleep(5)
    end
    assert.equal(400, heard.pongs)
    assert.is_nil(heard.ended)
    assert.is_true(clock.mono_ms() - began >= 1500)
    assert.is_true(dry_ms > 0)
    spawned:kill("tested")
  end)

  it("tells whether it sleeps", function()
    local spawned, heard = spawn()
    local _, pid = spawned:usage()
    spawned:send("ping", 1)
    while heard.pongs == 0 do task.sleep(5) end
    local function becomes(state)
      for _ = 1, 1000 do
        if spawned:state() == state then return true end
        task.sleep(5)
      end
    end
    assert.is_true(becomes("S"))
    process.run{ argv = { "kill", "-STOP", tostring(pid) }, timeout_s = 5 }
    assert.is_true(becomes("T"))
    spawned:kill("tested")
    local _, err = spawned:state()
    assert.equal("closed", err.code)
  end)

  it("gives its processor to others when it is idle", function()
    local spawned = spawn()
    local _, pid = spawned:usage()
    spawned:hold("idle")
    local policy
    for _ = 1, 100 do
      policy = assert(io.open("/proc/" .. pid .. "/sched")):read("*a"):match("policy%s*:%s*(%d+)")
      if policy == "5" then break end
      task.sleep(10)
    end
    assert.equal("5", policy)
    spawned:kill("tested")
  end)
end)
