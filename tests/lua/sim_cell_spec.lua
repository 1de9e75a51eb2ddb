-- SPDX-License-Identifier: Apache-2.0
--- The cell of simulated calls, played here.
local cell = require "core.cell"
local task = require "core.task"
local timer = require "core.timer"

-- It was trusted: what it said broke the flow engine, and verbs waited in as many tasks as it asked for.
describe("the cell of a simulated call", function()
  local sim_cell = require "sim.cell"
  local spawn = cell.spawn
  local say, ended, opened, heard, run

  before_each(function()
    ended, heard = nil, {}
    cell.spawn = function(handlers)
      say = handlers.on_message
      return {
        send = function() return true end,
        load = function() say("loaded", "sim", true, "") return true end,
        hold = function() end,
        kill = function(_, why)
          ended = ended or why
          handlers.on_ended(why, {})
        end,
      }
    end
    local function note(kind) return function() heard[#heard + 1] = kind end end
    run = { verb = note "verb", next = note "next", failed = note "failed", lost = note "lost" }
    opened = sim_cell.open("bytes")
    assert.is_true(opened.run(nil, nil, "s1", run, "flows/main.lua", "a", 1, {}, {}))
  end)
  after_each(function()
    opened.close()
    cell.spawn = spawn
  end)

  it("is ended at the first message that makes no sense", function()
    for _, message in ipairs{
      { "verb", "s1", 1, "1", "log", {}, "f", 1 }, { "verb", "s1", 1, 1, "log", 5, "f", 1 }, { "next", "s1", 1, {}, {}, "f", 1 }, { "failed", "s1", 1, "error", {}, "f", 1 },
      { "checked", "sim", true, {} }, { "covered", "f", "1" }, { "hooked", 1, true, {} }, { "nothing" },
    } do
      ended, heard = nil, {}
      run.dropped = nil
      assert.is_true(opened.run(nil, nil, "s1", run, "flows/main.lua", "a", 1, {}, {}))
      say(unpack(message, 1, 8))
      assert.equal("sent a message that makes no sense", ended)
      assert.same({ "lost" }, heard)
    end
  end)

  describe("in twenty seconds", function()
    local after, due, load, checked = timer.after, nil, nil, nil

    before_each(function()
      due = {}
      timer.after = function(ms, fn)
        assert.equal(20000, ms)
        local one = { fn = fn }
        table.insert(due, one)
        return { cancel = function() one.fn = function() end end }
      end
      local made = cell.spawn
      cell.spawn = function(handlers)
        local spawned = made(handlers)
        spawned.load = load or spawned.load
        return spawned
      end
    end)
    after_each(function()
      timer.after = after
      load, checked = nil, nil
    end)

    it("that has not loaded its bundle is ended, and who waits hears why", function()
      load = function() return true end
      local other, ok, err = sim_cell.open("bytes"), nil, nil
      task.spawn(function() ok, err = other.run(nil, nil, "s9", run, "flows/main.lua", "a", 1, {}, {}) end)
      assert.is_nil(err)
      due[1].fn()
      assert.is_nil(ok)
      assert.equal("did not load the bundle in time", ended)
      assert.same({ "invalid", "the cell did not load the bundle in time" }, { err.code, err.text })
      load = nil  -- and the next one is a new try
      other = sim_cell.open("bytes")
      assert.is_true(other.run(nil, nil, "s9", run, "flows/main.lua", "a", 1, {}, {}))
      due[#due].fn()
      assert.equal("did not load the bundle in time", ended)
      other.close()
    end)

    it("that has not checked its bundle is ended, and the report says so", function()
      task.spawn(function() checked = opened.check({}) end)
      assert.is_nil(checked)
      due[1].fn()
      assert.equal("took longer than 20 s", ended)
      assert.same({ problems = { { text = "the check took longer than 20 s" } } }, checked)
    end)

    it("that has checked is asked no more, and left alone", function()
      task.spawn(function() checked = opened.check({}) end)
      say("checked", "sim", true, { problems = {}, flows = {}, bundle = { x = 1 } })
      due[1].fn()
      assert.equal(1, checked.bundle.x)
      assert.is_nil(ended)
    end)
  end)

  it("is heard for its own calls, in their visit, to one end", function()
    say("verb", "s2", 1, 1, "log", {}, "f", 1)
    say("verb", "s1", 2, 1, "log", {}, "f", 1)
    say("verb", "s1", 1, 1, "log", {}, "f", 1)
    say("next", "s1", 1, "b", {}, "f", 1)
    say("next", "s1", 1, "c", {}, "f", 1)
    assert.same({ "verb", "next" }, heard)
    assert.is_nil(ended)
  end)
end)
