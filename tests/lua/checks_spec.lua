-- SPDX-License-Identifier: Apache-2.0
local checks = require "scripts.checks"
local task = require "core.task"
local timer = require "core.timer"

describe("the queue for checks", function()
  local order, going, timers, after

  before_each(function()
    order, going, timers, after = {}, {}, {}, timer.after
    timer.after = function(_, fn)
      timers[#timers + 1] = fn
      return { cancel = function() end }
    end
  end)
  after_each(function()
    timer.after = after
    while next(going) do select(2, next(going))() end
  end)

  -- Asks for a check that goes on until done(name). Returns a table that gets its result.
  local function ask(tenant, name, bytes)
    local result = {}
    task.spawn(function()
      result.value, result.err = checks.run({ id = tenant }, bytes or 1, function(what)
        order[#order + 1] = what
        task.wait(function(resume) going[what] = resume end)
        going[what] = nil
        return what .. " is sound"
      end, name)
    end)
    return result
  end
  local function done(name) going[name]() end

  it("runs two at a time and the others in their order", function()
    local a = ask(1, "a")
    ask(2, "b")
    ask(3, "c")
    ask(4, "d")
    assert.same({ "a", "b" }, order)
    done "b"
    assert.same({ "a", "b", "c" }, order)
    done "a"
    assert.equal("a is sound", a.value)
    assert.same({ "a", "b", "c", "d" }, order)
  end)

  it("runs one of a tenant at a time, and lets others pass meanwhile", function()
    ask(1, "a1")
    ask(1, "a2")
    ask(1, "a3")
    ask(2, "b")
    assert.same({ "a1", "b" }, order)
    done "b"
    assert.same({ "a1", "b" }, order)
    done "a1"
    done "a2"
    assert.same({ "a1", "b", "a2", "a3" }, order)
  end)

  -- Two that asked without a pause took each turn before a third.
  it("serves him next who was served longest ago", function()
    ask(1, "a1")
    ask(2, "b1")
    for n = 2, 4 do
      ask(1, "a" .. n)
      ask(2, "b" .. n)
    end
    ask(3, "c")
    done "a1"
    assert.same({ "a1", "b1", "c" }, order)
    done "c"
    done "b1"
    assert.same({ "a1", "b1", "c", "a2", "b2" }, order)
  end)

  it("refuses a tenant's ninth that would wait, and says what to do", function()
    for n = 0, 8 do ask(1, "a" .. n) end
    local ninth = ask(1, "a9")
    assert.equal("too_many", ninth.err.code)
    assert.equal("8 of your checks, simulations and replays wait already. Send one after the other", ninth.err.text)
    assert.is_true(ninth.err.retry_after_s > 0)
    assert.is_nil(ask(2, "b").err)
  end)

  it("lets sixty-four wait", function()
    for n = 1, 66 do assert.is_nil(ask(n, "t" .. n).err) end
    assert.equal("busy", ask(67, "t67").err.code)
    done "t1"
    assert.is_nil(ask(68, "t68").err)
  end)

  it("does not hold more bundles in memory than fit", function()
    for n = 1, 18 do assert.is_nil(ask(n, "t" .. n, 4 * 1024 * 1024).err) end
    assert.equal("busy", ask(19, "t19", 4 * 1024 * 1024).err.code)
  end)

  it("lets nobody wait longer than half a minute", function()
    ask(1, "a")
    ask(2, "b")
    local third = ask(3, "c")
    timers[1]()
    assert.equal("busy", third.err.code)
    assert.truthy(third.err.text:find("30 s", 1, true))
    done "a"
    assert.same({ "a", "b" }, order)
  end)

  it("goes on when a check breaks", function()
    local ok, err = pcall(checks.run, { id = 1 }, 1, error, "broken")
    assert.is_false(ok)
    assert.equal("broken", err)
    ask(1, "a")
    ask(2, "b")
    assert.same({ "a", "b" }, order)
  end)
end)

local world = require "data_world"
if not world then return end

describe("who uploads or simulates a bundle while too many wait", function()
  it("hears that, and when to come back", function()
    world.begin{ "auth", "tenants", "agents", "audit", "scripts", "sim" }
    require("tenants").create{ slug = "acme", admin_email = "admin@acme.test", admin_password = "a-long-password" }
    world.token = world.login("admin@acme.test", "a-long-password")
    local run = checks.run
    checks.run = function() return nil, { code = "busy", text = "Too many checks and simulations wait already", retry_after_s = 30 } end
    local status, body, headers = world.ask("POST", "/scripts/bundles", { files = { { path = "bundle.lua", text = "return {}" } } })
    assert.equal(503, status)
    assert.equal("checks_busy", body.code)
    assert.equal("Too many checks and simulations wait already. Try again in 30 s.", body.detail)
    assert.equal("30", headers["Retry-After"])
    checks.run = function() return nil, { code = "too_many", text = "8 of yours wait already", retry_after_s = 10 } end
    status, body, headers = world.ask("POST", "/scripts/simulate",
      { files = { { path = "bundle.lua", text = "return {}" } }, callers = { {} } })
    checks.run = run
    assert.same({ 429, "too_many_checks", "10" }, { status, body.code, headers["Retry-After"] })
  end)
end)
