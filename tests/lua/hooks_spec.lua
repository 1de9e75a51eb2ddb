-- SPDX-License-Identifier: Apache-2.0
--- Hooks: the table of them, what they may give, and what happens when they do not.
require "stand_in"
local json = require "core.json"
local rules = require "scripts.hooks.rules"

describe("the table of hooks", function()
  it("says of each what it is given, what it may give and what happens without it", function()
    for _, hook in ipairs(rules.list) do
      assert.truthy(hook.doc and hook.without and hook.input and hook.output and hook.example and hook.ms, hook.name)
      assert.truthy(loadstring(hook.example), hook.name)
    end
  end)

  it("is all in the script reference", function()
    local by_id, rows = {}, {}
    for _, section in ipairs(require("scripts.hooks.reference").sections()) do
      by_id[section.id] = section
      for _, block in ipairs(section.blocks) do
        for _, row in ipairs(block.rows or {}) do rows[section.id .. row[1]] = row[2] end
      end
    end
    for _, hook in ipairs(rules.list) do
      assert.equal(1, (by_id["hook-" .. hook.name].title:find(hook.file .. ": " .. hook.name, 1, true)))
      for name in pairs(hook.input) do assert.truthy(rows["hook-" .. hook.name .. "`" .. name .. "`"], name) end
    end
    assert.equal("number, 0 to 100", rows["hook-scoring`score`"])
  end)

  it("names the files of a tenant, and other ones of the operator", function()
    assert.same({ "routing.lua", "scoring.lua", "assignment.lua", "campaigns.lua" }, rules.files(false))
    assert.same({ "routing.lua", "prices.lua", "plans.lua" }, rules.files(true))
  end)
end)

describe("what a hook's file returns", function()
  local function found(file, returned, operators)
    returned.line, returned.names = returned.line or 7, returned.names or {}
    local names, problems = rules.found({ [file] = returned }, operators)
    return names, problems[1] and ("%s:%d: %s"):format(problems[1].file, problems[1].line, problems[1].text)
  end

  it("is a function, or a table of functions by the hooks' names", function()
    assert.same({ "scoring" }, (found("scoring.lua", { type = "function" })))
    assert.same({ "scoring" }, (found("scoring.lua", { type = "table", names = { "scoring" } })))
    assert.same({ "may_contact" }, (found("campaigns.lua", { type = "table", names = { "may_contact" } })))
  end)

  it("is refused with file and line when it is something else", function()
    local _, text = found("routing.lua", { type = "number", line = 12 })
    assert.equal("routing.lua:12: the file must return a function, or a table of functions (routing, models), not a number", text)
    _, text = found("campaigns.lua", { type = "table", names = { "may_contat" } })
    assert.truthy(text:find("there is no hook 'may_contat' here", 1, true))
    _, text = found("scoring.lua", { type = "table" })
    assert.truthy(text:find("has no function", 1, true))
    _, text = found("prices.lua", { type = "string" }, true)
    assert.truthy(text:find("must return a table", 1, true))
  end)

  it("of the operator's names in a tenant's bundle is just a file", function()
    assert.same({}, (found("prices.lua", { type = "number" }, false)))
  end)

  it("is taken from a cell that says anything at all", function()
    for _, files in ipairs{ 5, "x", { ["scoring.lua"] = 1 }, { ["scoring.lua"] = { type = 1, names = {} } }, { ["scoring.lua"] = { type = "table", names = 3 } } } do
      assert.same({}, (rules.found(files, false)))
    end
    local _, problems = rules.found({ ["scoring.lua"] = { type = "table", names = { 1 / 0, {} }, line = "x" } }, false)
    assert.equal(1, problems[1].line)
  end)
end)

describe("what a hook gives", function()
  local function output(name, value, input) return rules.output(rules.named(name), value, input or {}) end

  it("may be written in the shorter form", function()
    assert.same({ score = 85.5 }, output("scoring", 85.5))
    assert.same({ flow = "flows/a.lua" }, output("routing", "flows/a.lua", { flows = { "flows/a.lua" } }))
    assert.same({ allowed = false }, output("may_contact", false))
  end)

  it("leaves the decision to the platform when it is nil", function()
    for _, hook in ipairs(rules.list) do
      local value, wrong = rules.output(hook, nil, { agents = {} })
      assert.is_nil(value)
      assert.is_nil(wrong)
    end
  end)

  it("is refused in words when it is not what was asked for", function()
    local function wrong(...)
      local value, text = output(...)
      assert.is_nil(value)
      return text
    end
    assert.equal("what it returned: score must be a number from 0 to 100", wrong("scoring", { score = 101 }))
    assert.truthy(wrong("scoring", { score = 0 / 0 }))
    assert.truthy(wrong("scoring", "high"):find("it must be an object, not a string", 1, true))
    assert.truthy(wrong("scoring", { score = 1, reasons = { "a", 5 } }):find("reasons[2] must be a string", 1, true))
    assert.truthy(wrong("scoring", { score = 1, because = "x" }):find("because is not known here", 1, true))
    assert.equal("what it returned: there is no flow 'flows/b.lua' to choose", wrong("routing", { flow = "flows/b.lua" }, { flows = { "flows/a.lua" } }))
    assert.truthy(wrong("routing", { priority = 1000 }, { flows = {} }):find("priority", 1, true))
    assert.equal("what it returned: is not the id of one of the agents", wrong("assignment", "us_2", { agents = { { id = "us_1" } } }))
  end)

  it("may hold empty lists", function()
    assert.same({ score = 5, reasons = {} }, output("scoring", { score = 5, reasons = {} }))
    assert.truthy(json.is_array(output("routing", { skills = {} }, { flows = {} }).skills))
  end)
end)

if not pcall(require, "core.task") then return end

describe("asking a hook", function()
  local cells, scripts, hooks = require "scripts.cells", require "scripts", require "scripts.hooks"
  local clock, task, timer = require "core.clock", require "core.task", require "core.timer"
  local real, logged, asked, last_id = {}, nil, nil, 0
  local tenant

  before_each(function()
    real.hook, real.live, real.report, real.log, real.mono_ms, real.after = cells.hook, scripts.live, scripts.report, scripts.log, clock.mono_ms, timer.after
    logged, asked, last_id = {}, 0, last_id + 1
    tenant = { id = -200 - last_id, slug = "t", db = "t" }
    scripts.live = function() return "h1" end
    scripts.report = function() return { hooks = { "scoring", "may_contact" } } end
    scripts.log = function(_, entry) logged[#logged + 1] = entry end
  end)
  after_each(function()
    cells.hook, scripts.live, scripts.report, scripts.log, clock.mono_ms, timer.after = real.hook, real.live, real.report, real.log, real.mono_ms, real.after
  end)

  local function plays(fn)
    cells.hook = function(...)
      asked = asked + 1
      return fn(...)
    end
  end

  it("gives its answer and the version that decided", function()
    plays(function(_, hash, file, name, input)
      assert.same({ "h1", "scoring.lua", "scoring", "Ada" }, { hash, file, name, input.name })
      assert.truthy(input.now > 1.6e9 and input.seed)
      return true, { score = 42, reasons = { "x" } }
    end)
    local output, hash = hooks.call(tenant, "scoring", { name = "Ada" })
    assert.equal(42, output.score)
    assert.equal("h1", hash)
  end)

  it("costs no cell when there is none", function()
    plays(function() return true, 1 end)
    assert.is_nil(hooks.call(tenant, "assignment", { agents = {} }))
    scripts.live = function() return nil end
    assert.is_nil(hooks.call(tenant, "scoring", {}))
    assert.equal(0, asked)
  end)

  it("that fails leaves the decision to the platform and is told with file and line", function()
    plays(function() return false, { kind = "error", text = "attempt to index nil", file = "lib/points.lua", line = 9 } end)
    local output, hash, kind = hooks.call(tenant, "scoring", {})
    assert.is_nil(output)
    assert.is_nil(hash)
    assert.equal("error", kind)
    assert.same({ "lib/points.lua", 9, "error", "h1" }, { logged[1].file, logged[1].line, logged[1].level, logged[1].bundle_hash })
    assert.equal("the hook scoring: attempt to index nil", logged[1].text)
  end)

  it("is told of a value that is not what was asked for", function()
    plays(function() return true, { score = 500 } end)
    assert.is_nil(hooks.call(tenant, "scoring", {}))
    assert.equal("the hook scoring: what it returned: score must be a number from 0 to 100", logged[1].text)
  end)

  it("does not wait longer than its time", function()
    local early = 0
    timer.after = function(ms, fn)  -- the loop's clock may stand still for a while: a timer is early then, not an answer late
      early = early + 1
      return real.after(early == 1 and 5 or ms, fn)
    end
    plays(function() task.sleep(50) return true, 5 end)
    assert.equal(5, hooks.call(tenant, "scoring", {}).score)
    local began = clock.mono_ms()
    plays(function() task.sleep(2000) return true, 5 end)
    assert.is_nil(hooks.call(tenant, "scoring", {}))
    assert.truthy(clock.mono_ms() - began >= 199)
    assert.truthy(logged[1].text:find("no answer within 200 ms", 1, true))
  end)

  it("leaves a hook alone for ten seconds that failed three times, and tries it once then", function()
    local now, good = 1000000, false
    clock.mono_ms = function() return now end
    plays(function() if good then return true, 7 end return false, { kind = "cpu", text = "ran too long" } end)
    for _ = 1, 10 do assert.is_nil(hooks.call(tenant, "scoring", {})) end
    assert.equal(3, asked)
    assert.truthy(logged[3].text:find("left alone for 10 s", 1, true))
    now = now + 10001
    for _ = 1, 5 do assert.is_nil(hooks.call(tenant, "scoring", {})) end
    assert.equal(4, asked)
    now, good = now + 10001, true
    for _ = 1, 5 do assert.equal(7, hooks.call(tenant, "scoring", {}).score) end
    assert.equal(9, asked)
  end)

  it("begins anew with a new version, and other hooks are not touched", function()
    plays(function(_, hash, _, name) if hash == "h2" or name == "may_contact" then return true, name == "may_contact" and true or 7 end return false, { text = "x" } end)
    for _ = 1, 5 do hooks.call(tenant, "scoring", {}) end
    assert.is_true(hooks.call(tenant, "may_contact", {}).allowed)
    scripts.live = function() return "h2" end
    assert.equal(7, hooks.call(tenant, "scoring", {}).score)
  end)

  -- Each answer of the live version took the canary's failures away, and each failure of the canary began anew.
  it("adds up a canary's failures between the answers of the live version", function()
    local now = 1000000
    clock.mono_ms = function() return now end
    scripts.report = function() return { hooks = { "routing" } } end
    plays(function(_, hash) if hash == "h1" then return true, nil end return false, { kind = "error", text = "boom" } end)
    local kinds = {}
    for i = 1, 6 do
      assert.is_nil(select(3, hooks.call(tenant, "routing", { flows = {} }, "h1")))
      kinds[i] = select(3, hooks.call(tenant, "routing", { flows = {} }, "h2"))
    end
    assert.equal(6 + 3, asked)
    assert.same({ "error", "error", "error", "error", "error", "error" }, kinds)  -- left alone is as bad for it
    assert.equal(3, #logged)
  end)

  it("remembers nothing of versions that failed long ago", function()
    local now = 1000000
    clock.mono_ms = function() return now end
    plays(function() return false, { kind = "error", text = "boom" } end)
    collectgarbage()
    local before = collectgarbage("count")
    for i = 1, 2000 do
      now = now + 61000
      hooks.call(tenant, "scoring", {}, ("%064d"):format(i))
    end
    logged = {}
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 200)
  end)

  -- A lead with much data would have switched the tenant's scoring off.
  it("is not blamed for an input that no message can carry", function()
    plays(function() return nil, { code = "limit", text = "the value is too large" } end)
    for _ = 1, 5 do assert.is_nil(hooks.call(tenant, "scoring", {})) end
    assert.equal(5, asked)
    assert.equal(0, #logged)
  end)

  it("never raises, whatever is away or invented", function()
    plays(function() error("no cell", 0) end)
    assert.is_nil(hooks.call(tenant, "scoring", {}))
    plays(function() return false, "not a table" end)
    assert.is_nil(hooks.call(tenant, "scoring", {}))
    plays(function() return false, { kind = {}, text = {}, file = 5, line = -1 } end)
    assert.is_nil(hooks.call(tenant, "may_contact", {}))
    assert.equal("campaigns.lua", logged[#logged].file)
    scripts.live = function() error("the database is away", 0) end
    assert.is_nil(hooks.call(tenant, "scoring", {}))
    assert.is_nil(hooks.live(tenant))
    assert.is_false(hooks.offers(tenant, "scoring"))
  end)
end)

if not os.getenv("PARLEY_CELLS") then return end

describe("a hook in a real cell", function()
  local bundle, cells, scripts, hooks = require "core.bundle", require "scripts.cells", require "scripts", require "scripts.hooks"
  local clock = require "core.clock"
  local live, report, log = scripts.live, scripts.report, scripts.log
  local logged

  local function world(id, source)
    local bytes = assert(bundle.pack{ { path = "scoring.lua", data = source } })
    logged = {}
    scripts.live = function() return "v" end
    scripts.report = function() return { hooks = { "scoring" } } end
    scripts.log = function(_, entry) logged[#logged + 1] = entry end
    return { id = id, slug = "real", db = "none", bundles = { v = bytes } }
  end
  after_each(function() scripts.live, scripts.report, scripts.log = live, report, log end)

  it("scores", function()
    local tenant = world(-300, "return function(lead) return { score = #lead.name * 10, reasons = { lead.name } } end")
    assert.is_true((cells.hook(tenant, "v", "scoring.lua", "scoring", { name = "x" })))  -- its cell is made, which may take longer than a hook may
    assert.same({ score = 30, reasons = { "Ada" } }, (hooks.call(tenant, "scoring", { name = "Ada" })))
  end)

  it("that loops for ever is out of the way within its time, and the next one is answered", function()
    local tenant = world(-301, "return function(lead)\n  while lead.loop do end\n  return 1\nend")
    assert.equal(1, hooks.call(tenant, "scoring", {}).score)
    local began = clock.mono_ms()
    assert.is_nil(hooks.call(tenant, "scoring", { loop = true }))
    assert.truthy(clock.mono_ms() - began < 1000)
    assert.equal("scoring.lua", logged[1].file)
    require("core.task").sleep(300)
    assert.equal(1, hooks.call(tenant, "scoring", {}).score)
  end)

  it("that takes the whole process with it is told where it stood", function()
    local bomb = "return " .. ("s .. "):rep(99) .. "s"  -- 100 MB in one step, which no slice interrupts
    local tenant = world(-302, "return function()\n  local s = ('x'):rep(1e6)\n  " .. bomb .. "\nend")
    local ok, failure = cells.hook(tenant, "v", "scoring.lua", "scoring", {})
    assert.is_false(ok)
    assert.same({ "died", "scoring.lua" }, { failure.kind, failure.file })
    assert.truthy(failure.text:find("process", 1, true), failure.text)
  end)

  it("is found by the check, which tells wrong ones with file and line", function()
    local bytes = assert(bundle.pack{ { path = "bundle.lua", data = "return {}" }, { path = "campaigns.lua", data = "return {\n may_contact = function() end }" },
      { path = "routing.lua", data = "\n\nreturn 7" } })
    local result = assert(cells.check(bytes, rules.files(false)))
    local found, problems = rules.found(result.files, false)
    assert.same({ "may_contact" }, found)
    assert.same({ { file = "routing.lua", line = 3, text = "the file must return a function, or a table of functions (routing, models), not a number" } }, problems)
  end)
end)
