-- SPDX-License-Identifier: Apache-2.0
--- What a visit that is run again asks for, against what was recorded.
local journal = require "flow.journal"
local replay = require "flow.replay"

describe("a visit that is run again", function()
  local function entry(name, args, value, more)
    local hash, given = journal.arguments(args)
    local made = { name = name, args = hash, given = given, done = true, ok = true, value = value }
    for key, item in pairs(more or {}) do made[key] = item end
    return made
  end

  local visit
  before_each(function()
    visit = { visit = 3, state = "sales", data = {}, how = { next = "bye" }, verbs = { entry("say", { "hello" }, true), entry("gather", { { digits = 2 } }, "47") } }
  end)

  it("hears what it heard, and is the same when it goes the same way", function()
    local watch = replay.watch(visit, { data = { zip = "47" } })
    assert.same({ true, true }, { watch:verb("say", { "hello" }) })
    assert.same({ true, "47" }, { watch:verb("gather", { { digits = 2 } }) })
    watch:next("bye", { zip = "47" })
    assert.is_true(watch.over)
    assert.is_nil(watch.difference)
  end)

  -- What a bundle refuses had raised and left nothing in the journal: it looked as if the script asked for more than then.
  it("is refused again what its bundle refuses", function()
    visit.verbs[2] = nil
    visit.how = { failed = "error", text = "transfer: needs the permission dial" }
    local watch = replay.watch(visit, nil, { dial = false })
    watch:verb("say", { "hello" })
    local ok, err = watch:verb("transfer", { "+12025550142" })
    assert.is_false(ok)
    assert.is_true(err.raise)
    watch:failed("error", "transfer: needs the permission dial", "flows/main.lua", 4)
    assert.is_nil(watch.difference)
  end)

  it("differs where another version refuses what was done", function()
    visit.verbs = { entry("transfer", { "+12025550142" }, "answered") }
    local watch = replay.watch(visit, nil, { dial = false })
    assert.is_false((watch:verb("transfer", { "+12025550142" })))
    watch:failed("error", "transfer: needs the permission dial", "flows/main.lua", 4)
    assert.equal("transfer", watch.difference.recorded.verb)
  end)

  it("hears the world's failure again", function()
    visit.verbs[2] = entry("gather", { { digits = 2 } }, { code = "timeout", text = "no key was pressed" }, { ok = false })
    local watch = replay.watch(visit)
    watch:verb("say", { "hello" })
    assert.same({ false, { code = "timeout", text = "no key was pressed" } }, { watch:verb("gather", { { digits = 2 } }) })
  end)

  it("differs where it says something else: what, where, and what was recorded", function()
    local watch = replay.watch(visit)
    assert.is_nil((watch:verb("say", { "good day" }, "flows/main.lua", 12)))
    assert.same({ visit = 3, state = "sales", n = 1, recorded = { verb = "say", args = { "hello" } }, now = { verb = "say", args = { "good day" } },
      file = "flows/main.lua", line = 12 }, watch.difference)
    assert.is_nil((watch:verb("say", { "hello" })))  -- nothing is heard of what comes after
  end)

  it("differs where it asks for more than was recorded", function()
    local watch = replay.watch(visit)
    watch:verb("say", { "hello" })
    watch:verb("gather", { { digits = 2 } })
    watch:verb("create_lead", {}, "flows/main.lua", 20)
    assert.same({ next = "bye" }, watch.difference.recorded)
    assert.equal("create_lead", watch.difference.now.verb)
  end)

  it("differs where it ends before it has asked for all", function()
    local watch = replay.watch(visit)
    watch:verb("say", { "hello" })
    watch:next("bye", {}, "flows/main.lua", 9)
    assert.equal("gather", watch.difference.recorded.verb)
    assert.equal(2, watch.difference.n)
    assert.same({ next = "bye" }, watch.difference.now)
  end)

  it("differs where it goes on to another state, or is done", function()
    for _, state in ipairs{ "human", false } do
      local watch = replay.watch(visit)
      watch:verb("say", { "hello" })
      watch:verb("gather", { { digits = 2 } })
      watch:next(state or nil, {}, "flows/main.lua", 9)
      assert.same({ next = "bye" }, watch.difference.recorded)
      assert.same(state and { next = "human" } or { done = true }, watch.difference.now)
    end
  end)

  it("differs where it leaves other data, and says which", function()
    visit.verbs = {}
    local watch = replay.watch(visit, { data = { lead = { score = 40, tags = { "a" } } } })
    watch:next("bye", { lead = { score = 50, tags = { "a" } } }, "flows/main.lua", 9)
    assert.same({ data = "call.data.lead.score", value = 40 }, watch.difference.recorded)
    assert.same({ data = "call.data.lead.score", value = 50 }, watch.difference.now)
  end)

  it("compares the data that it is done with", function()
    visit.verbs, visit.how = {}, { done = true, data = { n = 1 } }
    local watch = replay.watch(visit)
    watch:next(nil, { n = 1, more = true })
    assert.same({ data = "call.data.more", value = true }, watch.difference.now)
  end)

  it("takes an empty list and an empty table for the same", function()
    visit.verbs = {}
    local json = require "core.json"
    local watch = replay.watch(visit, json.decode('{"data":[]}'))
    watch:next("bye", {})
    assert.is_nil(watch.difference)
  end)

  it("is the same when it fails with the same error, wherever that stands now", function()
    visit.verbs, visit.how = {}, { failed = "error", text = "boom", file = "flows/main.lua", line = 7 }
    local watch = replay.watch(visit)
    watch:failed("error", "boom", "flows/main.lua", 9)
    assert.is_nil(watch.difference)
    assert.is_true(watch.over)
    watch = replay.watch(visit)
    watch:failed("error", "bang", "flows/main.lua", 7)
    assert.equal("boom", watch.difference.recorded.text)
    watch = replay.watch(visit)
    watch:next("bye", {})
    assert.equal("error", watch.difference.recorded.failed)
  end)

  it("is over, and the same, where the caller went", function()
    visit.how = { left = "caller" }
    visit.verbs[2].done = false
    local watch = replay.watch(visit)
    watch:verb("say", { "hello" })
    assert.is_nil((watch:verb("gather", { { digits = 2 } })))
    assert.is_true(watch.over)
    assert.is_nil(watch.difference)
  end)

  it("differs also where the caller went, when it asks for something else before", function()
    visit.how = { left = "caller" }
    visit.verbs[2].done = false
    local watch = replay.watch(visit)
    watch:verb("say", { "hello" })
    watch:verb("record", {})
    assert.equal("gather", watch.difference.recorded.verb)
  end)

  it("says nothing of what was too large to keep", function()
    visit.cut = 4
    local watch = replay.watch(visit)
    watch:verb("say", { "hello" })
    watch:verb("gather", { { digits = 2 } })
    assert.is_nil((watch:verb("say", { "more" })))
    assert.is_true(watch.over)
    assert.is_nil(watch.difference)
  end)

  it("does not know whether it differs behind a secret, which is not kept", function()
    visit.verbs = { entry("gather", { { digits = 4, secret = true } }, journal.SECRET, { secret = true }), entry("say", { "welcome" }, true) }
    local watch = replay.watch(visit)
    assert.same({ true, "done" }, { watch:verb("gather", { { digits = 4, secret = true } }) })
    watch:verb("say", { "wrong" })
    assert.is_true(watch.unknown)
    watch = replay.watch(visit)
    watch:verb("say", { "before the secret" })
    assert.is_nil(watch.unknown)
    assert.truthy(watch.difference)
  end)

  it("is refused what its bundle refuses, for which nothing was recorded either", function()
    visit.verbs = { entry("log", { "not put through" }, true) }
    local watch = replay.watch(visit, nil, { dial = false })
    local ok, err = watch:verb("transfer", { "+15550142" })
    assert.is_false(ok)
    assert.truthy(err.text:find("permissions.dial", 1, true))
    assert.same({ true, true }, { watch:verb("log", { "not put through" }) })
  end)

  it("hears of its own mistake as before, for which nothing was recorded", function()
    local watch = replay.watch(visit)
    local ok, err = watch:verb("say", { 5 })
    assert.is_false(ok)
    assert.is_true(err.raise)
    assert.same({ true, true }, { watch:verb("say", { "hello" }) })
  end)
end)

-- With real cells: two versions of a flow, and a history that the first one made.
describe("a call that is run again", function()
  local in_host = require("core.worker").root and os.getenv("PARLEY_CELLS")
  if not in_host then
    pending("runs in the host, with PARLEY_CELLS=1")
    return
  end
  local bundle = require "core.bundle"
  local cells = require "scripts.cells"
  local flow = require "flow"
  local history = require "calls.history"
  local json = require "core.json"
  local scripts_store = require "scripts.store"
  local promise = require "lib.promise"
  local task = require "core.task"

  local SOURCE = [[
local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say("Hello " .. call.from)
    call.data.dice = math.random(1, 1000000)
    call.data.key = call:gather{ digits = 1 }
    return "sales"
  end,
  sales = function(call)
    if call.data.key == "1" then call.data.lead = call:create_lead{ score = 40 } end
    if call.data.key == "2" then error("no such key") end
    call:say "Bye."
  end,
  ended = function(call, why) call:log("ended by " .. why) end,
}]]
  local sources, real_bytes, last = {}, nil, 0

  setup(function()
    real_bytes = scripts_store.bundle_bytes
    scripts_store.bundle_bytes = function(_, hash) return sources[hash] and bundle.pack{ { path = "flows/main.lua", data = sources[hash] } } end
  end)
  teardown(function() scripts_store.bundle_bytes = real_bytes end)

  -- Plays a call by the real engine: what its verbs answer is given here.
  local function play(hash, answers)
    last = last + 1
    local over = promise.new()
    local instance = { id = "c" .. last, tenant = { id = -5000 - last, slug = "t", db = "t", key = ("k"):rep(32) }, hash = hash, file = "flows/main.lua",
      state = "start", visit = 0, data = {}, journal = journal.new(), history = history.new(), seed = 99, from = "+12025550123", verbs = {},
      direction = "inbound", started_us = 1500000 }
    function instance:info()
      return { id = self.id, from = self.from, direction = self.direction, started_us = self.started_us, seed = journal.seed(self.seed, self.visit),
        why = self.state == "ended" and self.why or nil }
    end
    function instance.head() return {} end
    function instance.keep() return true end
    function instance:moved() self.visiting = true end
    function instance:visited(how)
      if not self.visiting then return end
      self.visiting = nil
      self.history:add(self.visit, history.visit(self, how))
    end
    function instance:finished() if self.ending then over:give(true) else flow.ended(self, "flow") end end
    function instance:failed() over:give(true) end
    for name, answer in pairs(answers) do
      instance.verbs[name] = type(answer) == "function" and answer or function() return answer end
    end
    flow.enter(instance, "greeting")
    over:wait()
    return instance, history.open(instance.tenant, history.pack(instance))
  end

  it("does the same by the version that ran, with the same random numbers", function()
    sources.h1 = SOURCE
    local instance, recorded = play("h1", { say = true, gather = "1", create_lead = { id = "ld_1", score = 40 }, log = true })
    local result = assert(replay.run(instance.tenant, recorded))
    assert.same({}, result.differences)
    assert.is_true(result.same)
    local states = {}
    for i, visit in ipairs(result.visits) do states[i] = visit.state .. " " .. visit.result .. " " .. #visit.verbs end
    assert.same({ "greeting same 2", "sales same 2", "ended same 1" }, states)
    assert.truthy(recorded.visits[2].data.dice > 0)
  end)

  it("does the same when its script fails", function()
    sources.h1 = SOURCE
    local instance, recorded = play("h1", { say = true, gather = "2", log = true })
    assert.truthy(json.encode(recorded):find("no such key", 1, true))
    assert.is_true(assert(replay.run(instance.tenant, recorded)).same)
  end)

  it("goes another way by another version, at each place that is told, and acts nowhere", function()
    sources.h1 = SOURCE
    sources.h2 = SOURCE:gsub("score = 40", "score = 50"):gsub('"ended by "', '"left by "')
    local made = 0
    local instance, recorded = play("h1", { say = true, gather = "1", log = true, create_lead = function() made = made + 1 return { id = "ld_1" } end })
    local result = assert(replay.run(instance.tenant, recorded, "h2"))
    assert.equal(1, made)
    assert.is_false(result.same)
    assert.equal(2, #result.differences)
    local first, second = unpack(result.differences)
    assert.same({ "sales", 1, "flows/main.lua", 11 }, { first.state, first.n, first.file, first.line })
    assert.same({ { score = 40 } }, first.recorded.args)
    assert.same({ { score = 50 } }, first.now.args)
    assert.same({ "ended", 1, 15 }, { second.state, second.n, second.line })
  end)

  -- A conversation whose script has a tool that makes a lead.
  local TALK = [[
local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    local talk = call:converse{ tools = { { name = "price", description = "What a roof costs.", parameters = { size = { type = "number" } }, run = function(given)
      local lead = call:create_lead{ score = 40 }
      call.data.priced = (call.data.priced or 0) + 1
      return { dollars = 100 * given.size, lead = lead.id }
    end } } }
    call.data.why = talk.why
  end,
}]]

  it("goes through a conversation's tools as they were used, once, also where another worker took it up in the midst of one", function()
    sources.h6 = TALK
    sources.h7 = TALK:gsub("100 %* given", "200 * given")
    local made, told, moved = 0, nil, 0
    local instance, recorded = play("h6", {
      create_lead = function() made = made + 1 return { id = "ld_1" } end,
      converse = function(self, args)
        if not args[2].id then return { ask = { id = 1, tool = "price", given = { size = 40 } } } end
        told = args[2]
        if moved > 0 then return { why = "hangup", wants_human = false, turns = 1 } end
        moved = moved + 1
        task.spawn(function()
          task.sleep(10)
          flow.resume(self)
        end)
        return nil, { code = "frozen", text = "the call moves to another worker" }
      end,
    })
    assert.equal(1, moved)
    assert.equal(1, made)
    assert.same({ dollars = 4000, lead = "ld_1" }, told.value)
    assert.same({ priced = 1, why = "hangup" }, instance.data)
    local same = assert(replay.run(instance.tenant, recorded))
    assert.same({}, same.differences)
    local names = {}
    for i, verb in ipairs(same.visits[1].verbs) do names[i] = verb.verb end
    assert.same({ "converse", "create_lead", "converse" }, names)
    local other = assert(replay.run(instance.tenant, recorded, "h7"))
    assert.equal(8000, other.differences[1].now.args[2].value.dollars)
    assert.equal(4000, other.differences[1].recorded.args[2].value.dollars)
    assert.equal(1, made)
  end)

  it("says that a state is no more", function()
    sources.h1 = SOURCE
    sources.h3 = SOURCE:gsub("sales", "selling")
    local instance, recorded = play("h1", { say = true, gather = "1", create_lead = { id = "x" }, log = true })
    local result = assert(replay.run(instance.tenant, recorded, "h3"))
    assert.same({ next = "sales" }, result.differences[1].recorded)
    assert.same({ next = "selling" }, result.differences[1].now)
    assert.truthy(result.differences[2].now.text:find("no state 'sales'", 1, true))
  end)

  it("is told when the other version runs for ever, and goes on with the next visit", function()
    sources.h1 = SOURCE
    sources.h4 = SOURCE:gsub('call:say%("Hello "', 'while true do end call:say("Hello "')
    local instance, recorded = play("h1", { say = true, gather = "1", create_lead = { id = "x" }, log = true })
    local result = assert(replay.run(instance.tenant, recorded, "h4"))
    assert.equal(1, #result.differences)
    assert.equal("cpu", result.differences[1].now.failed)
    assert.equal("same", result.visits[3].result)
  end)

  it("leaves the tenant's own cell alone", function()
    sources.h1 = SOURCE
    local run, ran = cells.run, 0
    local instance, recorded = play("h1", { say = true, gather = "1", create_lead = { id = "x" }, log = true })
    cells.run = function() ran = ran + 1 end
    replay.run(instance.tenant, recorded)
    cells.run = run
    assert.equal(0, ran)
  end)
end)
