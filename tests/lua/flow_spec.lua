-- SPDX-License-Identifier: Apache-2.0
--- The flow engine against a cell that is played here: what it asks, in which order, and what comes back.
local cells = require "scripts.cells"
local flow = require "flow"
local gate = require "scripts.gate"
local journal = require "flow.journal"
local json = require "core.json"
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
      visited = function(self, how) table.insert(self.ways, how) end, ways = {},
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
    cells.drop = function(_, run)
      assert(run, "there is nothing to drop")
      dropped = dropped + 1
    end
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

  -- A synthesiser that never ended kept its caller on a silent line.
  it("goes to the fallback when a verb takes longer than its time-out", function()
    local say = gate.verb("say")
    local seconds, go = say.timeout, nil
    say.timeout = 0.02
    instance.verbs.say = function()
      task.wait(function(resume) go = resume end)
      return true
    end
    flow.enter(instance, "greeting")
    task.spawn(asked[1].run.verb, 1, 1, "say", { "hello" })
    for _ = 1, 200 do
      if instance.is_failed then break end
      task.sleep(5)
    end
    say.timeout = seconds
    assert.same({ "timeout", "say took longer than 0.02 s" }, instance.is_failed)
    go()
    assert.same({}, answered)
  end)

  it("does not end what was answered in time", function()
    local say = gate.verb("say")
    local seconds = say.timeout
    say.timeout = 0.02
    instance.verbs.say = function() return true end
    flow.enter(instance, "greeting")
    asked[1].run.verb(1, 1, "say", { "hello" })
    task.sleep(60)
    say.timeout = seconds
    assert.is_nil(instance.is_failed)
  end)

  it("raises in the script what its bundle refuses", function()
    instance.permissions = { dial = false }
    instance.verbs.transfer = function() error("it was done all the same") end
    flow.enter(instance, "support")
    asked[1].run.verb(1, 1, "transfer", { "+12025550142" })
    assert.is_true(answered[1][4].raise)
    assert.matches("needs the permission dial", answered[1][4].text)
    assert.is_nil(instance.kept["j1.1"])
  end)

  it("gives a script the codes that the verb declares, and failed for all others", function()
    instance.verbs.say = function() return nil, { code = "protocol", text = "what the synthesiser said makes no sense" } end
    flow.enter(instance, "greeting")
    asked[1].run.verb(1, 1, "say", { "hello" })
    assert.same({ code = "failed", text = "what the synthesiser said makes no sense" }, answered[1][4])
  end)

  -- Its nil was calculated with.
  it("goes to the fallback when a verb that always has a result breaks", function()
    local log = require "core.log"
    local error_of = log.error
    log.error = function() end
    instance.verbs.now = function() error("broken") end
    flow.enter(instance, "greeting")
    asked[1].run.verb(1, 1, "now", {})
    log.error = error_of
    assert.equal("internal", instance.is_failed[1])
    assert.same({}, answered)
  end)

  -- The number of the mistake was missing in the journal, and the next verb was taken for another one than before.
  it("goes on behind a mistake that the script has caught", function()
    local acted = {}
    instance.verbs.say = function(_, args) acted[#acted + 1] = args[1] return true end
    flow.enter(instance, "greeting")
    for _ = 1, 2 do
      local run = asked[#asked].run
      run.verb(1, 1, "say", { "hello" })
      run.verb(1, 2, "say", { 5 })
      run.verb(1, 3, "say", { "bye" })
      flow.resume(instance)
    end
    assert.is_nil(instance.is_failed)
    assert.same({ "hello", "bye" }, acted)
    for round = 0, 3, 3 do
      assert.same({ 1, 2, 3 }, { answered[round + 1][2], answered[round + 2][2], answered[round + 3][2] })
    end
    assert.truthy(instance.kept["j1.1"] and instance.kept["j1.2"] and not instance.kept["j1.3"])
  end)

  it("tells how each visit ended, while it still has what belongs to it", function()
    local seen = {}
    instance.verbs.say = function() return true end
    instance.visited = function(self, how) seen[#seen + 1] = { self.visit, self.data.n, #self.journal.entries, how } end
    flow.enter(instance, "a")
    asked[1].run.verb(1, 1, "say", { "x" })
    asked[1].run.next(1, "b", { n = 1 })
    asked[2].run.failed(2, "error", "boom", "flows/main.lua", 7)
    asked[3].run.next(3, nil, {})
    assert.same({ 1, nil, 1, { next = "b" } }, seen[1])
    assert.same({ 2, 1, 0, { failed = "error", text = "boom", file = "flows/main.lua", line = 7 } }, seen[2])
    assert.same({ 3, 1, 0, { done = true, data = {} } }, seen[3])
    instance = make{ visited = instance.visited }
    flow.enter(instance, "a")
    flow.ended(instance, "caller")
    assert.same({ left = "caller" }, seen[#seen][4])
  end)

  it("says where the script asked for another verb than before", function()
    local where
    instance.verbs.say = function() return true end
    instance.failed = function(_, kind, _, file, line) where = { kind, file, line } end
    flow.enter(instance, "greeting")
    asked[1].run.verb(1, 1, "say", { "hello" }, "flows/main.lua", 5)
    flow.resume(instance)
    asked[2].run.verb(1, 1, "say", { "good day" }, "flows/main.lua", 6)
    assert.same({ "diverged", "flows/main.lua", 6 }, where)
  end)

  it("goes to the fallback when a state asks for another verb than before", function()
    instance.verbs.say = function() return true end
    flow.enter(instance, "greeting")
    asked[1].run.verb(1, 1, "say", { "hello" })
    flow.resume(instance)
    asked[2].run.verb(1, 1, "say", { "good day" })
    assert.equal("diverged", instance.is_failed[1])
  end)

  it("keeps of a secret only that it was given, however often its entry is written", function()
    local kept = journal.kept{ name = "gather", args = "a", done = true, ok = true, value = "4711", secret = true }
    assert.equal(journal.SECRET, kept.value)
    local open = { name = "gather", args = "a", done = true, ok = true, value = "4711" }
    assert.equal(open, journal.kept(open))
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

  it("keeps why nothing was gathered in secret: that is no secret", function()
    instance.verbs.gather = function(_, _, entry) entry.secret = true return nil, { code = "timeout", text = "no key was pressed" } end
    flow.enter(instance, "pin")
    asked[1].run.verb(1, 1, "gather", { { digits = 4, secret = true } })
    assert.is_false(instance.kept["j1.1"].ok)
    assert.equal("timeout", instance.kept["j1.1"].value.code)
  end)

  -- What a successor finds: a secret that was gathered, and what the state did after it.
  local function taken_up_after_secret(second)
    local secret = { digits = 4, secret = true }
    instance.verbs.gather = function(_, _, entry) entry.secret = true return "1234" end
    instance.verbs.say = function() return true end
    instance.verbs.create_lead = function() return { id = "ld_1" } end
    flow.enter(instance, "pin")
    asked[1].run.verb(1, 1, "gather", { secret })
    asked[1].run.verb(1, 2, unpack(second))
    local heard = {}
    local successor = make{ visit = 1, state = "pin", journal = journal.new{ instance.kept["j1.1"], instance.kept["j1.2"] },
      verbs = { gather = function() heard[#heard + 1] = "gather" return "9999" end, say = function() heard[#heard + 1] = "say" return true end } }
    for name, entry in pairs(instance.kept) do successor.kept[name] = entry end
    flow.resume(successor)
    asked[2].run.verb(1, 1, "gather", { secret })
    return successor, heard
  end

  it("asks for a secret again when it is taken up, and goes the way of the new answer", function()
    local successor, heard = taken_up_after_secret{ "say", { "welcome" } }
    assert.equal("9999", answered[3][4])
    asked[2].run.verb(1, 2, "say", { "wrong" })
    assert.same({ "gather", "say" }, heard)
    assert.is_nil(successor.is_failed)
  end)

  it("replays what followed a secret where the answer is the same", function()
    local _, heard = taken_up_after_secret{ "say", { "welcome" } }
    asked[2].run.verb(1, 2, "say", { "welcome" })
    assert.same({ "gather" }, heard)
  end)

  it("forgets nothing that acts only once", function()
    local successor = taken_up_after_secret{ "create_lead", {} }
    asked[2].run.verb(1, 2, "say", { "wrong" })
    assert.equal("diverged", successor.is_failed[1])
  end)

  it("goes to the fallback when `failed` has run, or there is none", function()
    flow.enter(instance, "a")
    asked[1].run.failed(1, "error", "boom", "flows/main.lua", 7)
    asked[2].run.next(2, nil, {})
    assert.same({ "error", "boom" }, instance.is_failed)
    assert.is_nil(instance.is_finished)
  end)

  it("does not begin what was asked for by a state that was left", function()
    local acted = 0
    instance.verbs.say = function() acted = acted + 1 return true end
    flow.enter(instance, "a")
    instance.keep = function(self) self.visit = self.visit + 1 return true end
    asked[1].run.verb(1, 1, "say", { "x" })
    assert.equal(0, acted)
  end)

  -- Both left the caller on a line with nothing on it: what handles the cell's word died on the way.
  it("ends on the fallback, and not nowhere, when call.data cannot be kept", function()
    for _, data in ipairs{ { x = 0 / 0 }, { x = "\255\254" }, { [true] = 1 } } do
      instance = make()
      flow.enter(instance, "a")
      asked[#asked].run.next(1, "b", data)
      assert.equal("form", instance.is_failed[1])
      assert.truthy(instance.is_failed[2]:find("call.data", 1, true))
    end
  end)

  it("ends on the fallback when an error's text is no text", function()
    local encoded
    instance.keep = function(self) encoded = json.encode(self:head()) return true end
    instance.head = function(self) return { text = self.error_text, first = self.first_failure } end
    flow.enter(instance, "a")
    asked[1].run.failed(1, "error", "\255\254 boom" .. ("\195\188"):rep(2000), "flows/main.lua", 0 / 0)
    assert.truthy(encoded:find("boom", 1, true))
    asked[2].run.next(2, nil, {})
    assert.equal("error", instance.is_failed[1])
  end)

  it("ends on the fallback when something of ours breaks while a cell is heard", function()
    instance.keep = function() error("broken") end
    pcall(flow.enter, instance, "a")
    instance.keep = function() return true end
    flow.enter(instance, "a")
    instance.keep = function() error("broken") end
    asked[1].run.verb(instance.visit, 1, "say", { "x" })
    assert.equal("internal", instance.is_failed[1])
  end)

  it("refuses call.data that a successor would read back as another table", function()
    flow.enter(instance, "a")
    asked[1].run.next(1, "b", { seen = { [5] = "x" } })
    assert.equal("form", instance.is_failed[1])
    instance = make()
    flow.enter(instance, "a")
    asked[2].run.next(1, "b", { list = { "x", { "y" } }, empty = {} })
    assert.same({ "a", "b" }, instance.moves)
  end)

  it("takes no state's name from a cell that does not fit a row", function()
    for _, name in ipairs{ ("x"):rep(65), "\255", "a b", "" } do
      instance = make()
      flow.enter(instance, "a")
      asked[#asked].run.next(1, name, {})
      assert.equal("form", instance.is_failed[1])
    end
  end)

  it("waits for a database that is away when a state is begun", function()
    local tries = 0
    cells.run = function(_, _, _, run, _, state, visit)
      tries = tries + 1
      if tries == 1 then return nil, { code = "away", text = "the bundle cannot be read" } end
      table.insert(asked, { state = state, visit = visit, run = run })
      return true
    end
    flow.enter(instance, "a")
    assert.equal(2, tries)
    assert.is_nil(instance.is_failed)
  end)

  it("counts what verbs give back", function()
    instance.verbs.menu = function() return ("x"):rep(60000) end
    flow.enter(instance, "a")
    for n = 1, 5 do asked[1].run.verb(1, n, "menu", { { ["1"] = "x" } }) end
    assert.equal("journal", instance.is_failed[1])
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

  -- The verb of the state that was left went on waiting, and took keys and second parties from the next one.
  it("does not leave a state whose verb is under way", function()
    instance.verbs.wait = function() task.wait(function() end) end
    flow.enter(instance, "a")
    task.spawn(asked[1].run.verb, 1, 1, "wait", { 5 })
    asked[1].run.next(1, "b", {})
    assert.same({ "a" }, instance.moves)
    assert.equal("diverged", instance.is_failed[1])
  end)

  it("acts once for a verb whose start was being written when the cell died", function()
    local acted, written = 0, nil
    instance.verbs.transfer = function() acted = acted + 1 return true end
    flow.enter(instance, "a")
    instance.keep = function() task.wait(function(resume) written = written or resume end) return true end
    task.spawn(asked[1].run.verb, 1, 1, "transfer", { "+15550142" })
    instance.keep = function() return true end
    asked[1].run.lost(false, {}, "died")
    asked[2].run.verb(1, 1, "transfer", { "+15550142" })
    written()
    assert.equal(1, acted)
    assert.equal(1, #answered)
  end)

  it("slows a state down that asks for more than sixty verbs in a second", function()
    local slept = 0
    local sleep = task.sleep
    task.sleep = function() slept = slept + 1 end
    instance.verbs.log = function() return true end
    flow.enter(instance, "a")
    for n = 1, 70 do asked[1].run.verb(1, n, "log", { "x" }) end
    task.sleep = sleep
    assert.equal(10, slept)
    assert.equal(70, #answered)
  end)

  -- A cell that was taken over names an innocent call, or none: its calls were run again for ever on a silent line.
  it("goes to the fallback when its cell dies again and again, whoever is said to have run", function()
    flow.enter(instance, "a")
    for n = 1, 3 do
      asked[n].run.lost(false, {}, "died")
      assert.is_nil(instance.is_failed)
    end
    asked[4].run.lost(false, {}, "died")
    assert.equal("strikes", instance.is_failed[1])
    assert.equal("the script's process died, and this call with it", logged[1].text)
  end)

  it("counts the deaths of its cell anew in each state", function()
    flow.enter(instance, "a")
    for state = 1, 5 do
      for _ = 1, 3 do asked[#asked].run.lost(false, {}, "died") end
      asked[#asked].run.next(state, "a", {})
    end
    assert.is_nil(instance.is_failed)
  end)

  describe("of a tenant that asks for more than its share", function()
    local quota = require "scripts.quota"
    local take, sleep, slept = quota.take, task.sleep, nil

    before_each(function()
      slept = {}
      task.sleep = function(ms) slept[#slept + 1] = ms end
      quota.take = function(_, cost) return 250 * cost, false end
      instance.visit = 1
      flow.resume(instance)
    end)
    after_each(function() quota.take, task.sleep = take, sleep end)

    it("is answered later, and not with an error", function()
      instance.verbs.log = function() return true end
      asked[1].run.verb(1, 1, "log", { "x" })
      assert.same({ 250 }, slept)
      assert.same({ { 1, 1, true, true } }, answered)
    end)

    it("waits for what is refused and for what is replayed too", function()
      instance.verbs.log = function() return true end
      asked[1].run.verb(1, 1, "log", { 5 })
      asked[1].run.verb(1, 2, "nothing", {})
      asked[1].run.verb(1, 3, "log", { "x" })
      asked[1].run.verb(1, 3, "log", { "x" })
      assert.same({ 250, 250, 250, 250 }, slept)
      assert.equal(4, #answered)
    end)

    it("waits longer for a verb that costs more", function()
      local log_verb = require("scripts.gate").verb("log")
      local cost = log_verb.cost
      log_verb.cost = 4
      instance.verbs.log = function() return true end
      asked[1].run.verb(1, 1, "log", { "x" })
      log_verb.cost = cost
      assert.same({ 1000 }, slept)
    end)

    it("waits between states, and does not enter one that was left meanwhile", function()
      local went
      task.sleep = function() task.wait(function(resume) went = resume end) end
      task.spawn(asked[1].run.next, 1, "b", {})
      instance.visit = 7
      went()
      assert.same({}, instance.moves)
    end)

    it("tells its admin which limit was met and what to do", function()
      quota.take = function() return 250, true end
      instance.verbs.log = function() return true end
      asked[1].run.verb(1, 1, "log", { "x" })
      assert.equal("warn", logged[1].level)
      assert.truthy(logged[1].text:find("more than 2000 verbs a second", 1, true))
      assert.truthy(logged[1].text:find("limits.verbs_per_second", 1, true))
    end)

    -- The record of a call's beginning was told of.
    it("is held to the limit of now, in calls that are up too, and its admin is told that one", function()
      local tenants, clock = require "tenants", require "core.clock"
      local known, mono_ms, now, limits = tenants.known, clock.mono_ms, 1000, nil
      instance.tenant.id = "flow-limits"
      quota.take, clock.mono_ms = take, function() return now end
      tenants.known = function(id) return { id = id, limits = limits } end
      instance.verbs.log = function() return true end
      local n = 0
      local function asks(count)
        for _ = 1, count do
          n = n + 1
          now = now + 1000 / 40  -- no faster than a call may
          asked[1].run.verb(1, n, "log", { "x" })
        end
      end
      asks(100)
      local before = #slept
      limits = { verbs_per_second = 1 }
      asks(100)
      local lowered = #slept
      limits = nil
      now = now + 60000
      asks(100)
      tenants.known, clock.mono_ms = known, mono_ms
      assert.equal(0, before)
      assert.is_true(lowered > 50)
      assert.equal(lowered, #slept)
      assert.truthy(logged[1].text:find("more than 1 verbs a second", 1, true))
    end)
  end)
end)
