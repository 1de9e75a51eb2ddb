-- SPDX-License-Identifier: Apache-2.0
--- The flow engine against a cell that is played here: what it asks, in which order, and what comes back.
local cells = require "scripts.cells"
local flow = require "flow"
local journal = require "flow.journal"
local scripts = require "scripts"
local task = require "core.task"

describe("a flow", function()
  local real, asked, answered, dropped, instance, logged

  local function make(fields)
    local made = {
      id = "c1", tenant = { slug = "t", id = 1 }, hash = ("a"):rep(64), file = "flows/main.lua", state = "start", visit = 0, data = {},
      journal = journal.new(), kept = {}, moves = {}, verbs = {},
      info = function() return {} end, head = function(self) return { state = self.state, visit = self.visit } end,
      keep = function(self, fields_kept, drop)
        for name, value in pairs(fields_kept) do self.kept[name] = value end
        for _, name in ipairs(drop or {}) do self.kept[name] = nil end
        return true
      end,
      moved = function(self) table.insert(self.moves, self.state) end,
      finished = function(self) self.is_finished = true end,
      failed = function(self, kind, text) self.is_failed = { kind, text } end,
    }
    for name, value in pairs(fields or {}) do made[name] = value end
    return made
  end

  before_each(function()
    real = { run = cells.run, answer = cells.answer, drop = cells.drop, log = scripts.log }
    asked, answered, dropped, logged = {}, {}, 0, {}
    cells.run = function(_, _, _, run, _, state, visit)
      table.insert(asked, { state = state, visit = visit, run = run })
      return true
    end
    cells.answer = function(_, _, visit, n, ok, value) table.insert(answered, { visit, n, ok, value }) return true end
    cells.drop = function() dropped = dropped + 1 end
    scripts.log = function(_, entry) table.insert(logged, entry) end
    instance = make()
  end)

  after_each(function()
    cells.run, cells.answer, cells.drop, scripts.log = real.run, real.answer, real.drop, real.log
  end)

  it("keeps a verb's start and its result before the cell is answered", function()
    local at_act
    instance.verbs.say = function(self) at_act = self.kept["j1.1"].done return true end
    flow.enter(instance, "greeting")
    asked[1].run.verb(1, 1, "say", { "hello" })
    assert.is_false(at_act)
    assert.is_true(instance.kept["j1.1"].done)
    assert.same({ { 1, 1, true, true } }, answered)
  end)

  it("does not act again for what its journal holds", function()
    local acted = 0
    instance.verbs.create_lead = function() acted = acted + 1 return { id = "ld_1" } end
    flow.enter(instance, "sales")
    asked[1].run.verb(1, 1, "create_lead", {})
    flow.resume(instance)
    asked[2].run.verb(1, 1, "create_lead", {})
    assert.equal(1, acted)
    assert.same({ id = "ld_1" }, answered[2][4])
  end)

  it("takes up a verb that a predecessor had begun", function()
    local resumed
    instance.verbs.gather = function(_, _, entry) resumed = entry.resumed return "12" end
    flow.enter(instance, "pin")
    local args = asked[1].run
    instance.verbs.wait = function() return nil, { code = "frozen", text = "moves" } end
    args.verb(1, 1, "gather", { { digits = 2 } })
    local entry = instance.kept["j1.1"]
    local successor = make{ visit = 1, state = "pin", journal = journal.new{ { name = "gather", args = entry.args, done = false } },
      verbs = instance.verbs }
    flow.resume(successor)
    asked[2].run.verb(1, 1, "gather", { { digits = 2 } })
    assert.is_true(resumed)
  end)

  it("raises a mistake of the script in the script and writes nothing for it", function()
    flow.enter(instance, "greeting")
    asked[1].run.verb(1, 1, "say", { 5 })
    assert.same({ code = "invalid", text = "say: text must be a string, not a number", raise = true }, answered[1][4])
    assert.is_nil(instance.kept["j1.1"])
  end)

  it("goes to the fallback when a state asks for another verb than before", function()
    instance.verbs.say = function() return true end
    flow.enter(instance, "greeting")
    asked[1].run.verb(1, 1, "say", { "hello" })
    flow.resume(instance)
    asked[2].run.verb(1, 1, "say", { "good day" })
    assert.equal("diverged", instance.is_failed[1])
  end)

  it("drops the journal of the visit before when a new state is entered", function()
    instance.verbs.log = function() return true end
    flow.enter(instance, "a")
    asked[1].run.verb(1, 1, "log", { "x" })
    asked[1].run.next(1, "b", { n = 1 })
    assert.is_nil(instance.kept["j1.1"])
    assert.same({ "a", "b" }, instance.moves)
    assert.equal(2, instance.visit)
    assert.same({ n = 1 }, instance.data)
  end)

  it("hears nothing from a visit that is over", function()
    flow.enter(instance, "a")
    asked[1].run.next(1, "b", {})
    asked[1].run.next(1, "c", {})
    assert.same({ "a", "b" }, instance.moves)
  end)

  it("lets the script's own state `failed` deal with an error, once", function()
    flow.enter(instance, "a")
    asked[1].run.failed(1, "error", "boom", "flows/main.lua", 7)
    assert.same({ "a", "failed" }, instance.moves)
    asked[2].run.failed(2, "error", "boom again", "flows/main.lua", 9)
    assert.equal("error", instance.is_failed[1])
    assert.equal("boom", instance.is_failed[2])
    assert.equal("flows/main.lua", logged[1].file)
    assert.equal(7, logged[1].line)
  end)

  it("goes on in a new cell when the cell died under another call", function()
    flow.enter(instance, "a")
    asked[1].run.lost(false, {}, "died")
    assert.equal(2, #asked)
    assert.is_nil(instance.strikes)
  end)

  it("goes to the fallback at the second death of its cell", function()
    flow.enter(instance, "a")
    asked[1].run.lost(true, { file = "flows/main.lua", line = 3 }, "died")
    assert.equal(2, #asked)
    asked[2].run.lost(true, { file = "flows/main.lua", line = 3 }, "died")
    assert.equal("strikes", instance.is_failed[1])
    assert.equal(2, #asked)
  end)

  it("runs the state `ended` once when the caller is gone, and not the running state", function()
    instance.verbs.say = function(self)
      self.gone = true
      flow.ended(self, "caller")
      return nil, { code = "gone", text = "gone" }
    end
    flow.enter(instance, "a")
    asked[1].run.verb(1, 1, "say", { "x" })
    assert.equal("ended", asked[2].state)
    assert.equal(0, #answered)
    asked[2].run.next(2, nil, {})
    assert.is_true(instance.is_finished)
  end)

  it("never writes a secret", function()
    instance.verbs.gather = function(_, _, entry) entry.secret = true return "1234" end
    flow.enter(instance, "pin")
    asked[1].run.verb(1, 1, "gather", { { digits = 4, secret = true } })
    assert.equal("1234", answered[1][4])
    assert.equal("done", instance.kept["j1.1"].value)
  end)

  it("answers a running verb to whoever runs the state when it ends", function()
    local finish
    instance.verbs.wait = function()
      task.wait(function(resume) finish = resume end)
      return true
    end
    flow.enter(instance, "a")
    task.spawn(asked[1].run.verb, 1, 1, "wait", { 5 })
    asked[1].run.lost(false, {}, "died")
    asked[2].run.verb(1, 1, "wait", { 5 })
    assert.equal(0, #answered)
    finish()
    assert.equal(1, #answered)
  end)
end)
