-- SPDX-License-Identifier: Apache-2.0
--- A bundle's own specs, run in real cells.
if not pcall(require, "core.cell") then return end

local sim = require "sim"
local world = require "sim_world"

local FLOW = [[start = "a",
a = function(call) return call:menu{ prompt = "One?", ["1"] = "b", otherwise = "c" } end,
b = function(call)
  call:say "B."
end,
c = function(call)
  call:hangup()
end]]

local function run(spec, options, more)
  local files = { ["spec/main_spec.lua"] = spec }
  for path, data in pairs(more or {}) do files[path] = data end
  options = options or {}
  options.eager = true
  return assert(sim.specs(world.bytes(FLOW, files), options))
end

-- The texts of a spec's only test's failure, with its line in front.
local function failure(body)
  local report = run("it('x', function()\n" .. body .. "\nend)")
  assert.equal(1, #report.tests)
  if report.passed == 1 then return "passed" end
  local one = report.failures[1]
  return ("%s:%d: %s"):format(one.file, one.line, one.text)
end

describe("a bundle's specs", function()
  it("pass and fail by name, each on its own", function()
    local names = {}
    local report = run([[
describe("a caller", function()
  it("hears B", function() assert.same({ "a", "b" }, simulate{ steps = { { key = "1" } } }.states) end)
  describe("who is silent", function()
    it("hears nothing", function() assert.same({ "One?" }, simulate{}.said) end)
    it("is let go", function() assert.same({ "a", "c" }, simulate{}.states) end)
  end)
end)]], { on_test = function(test) names[#names + 1] = (test.ok and "ok " or "no ") .. test.name end })
    assert.same({ "ok a caller hears B", "no a caller who is silent hears nothing", "ok a caller who is silent is let go" }, names)
    assert.same({ 2, 1, 3 }, { report.passed, report.failed, report.calls })
    assert.equal(4, report.failures[1].line)
    assert.equal("spec/main_spec.lua", report.failures[1].file)
    assert.matches("at [3]: expected", report.failures[1].text:gsub("%[2%]", "[3]"), 1, true)
    assert.same({ a = 3, b = 1, c = 2 }, report.states["flows/main.lua"])
  end)

  it("run what before_each and after_each say around every test, from the outside in", function()
    local report = run([[
local seen = {}
describe("outer", function()
  before_each(function() seen[#seen + 1] = "b1" end)
  after_each(function() seen[#seen + 1] = "a1" end)
  describe("inner", function()
    before_each(function() seen[#seen + 1] = "b2" end)
    after_each(function() seen[#seen + 1] = "a2" end)
    it("fails", function() seen[#seen + 1] = "t" error("no") end)
    it("comes later", function() assert.same({ "b1", "b2", "t", "a2", "a1", "b1", "b2" }, seen) end)
  end)
end)]])
    assert.same({ 1, 1 }, { report.passed, report.failed })
    assert.equal("no", report.failures[1].text)
    assert.equal(8, report.failures[1].line)
  end)

  it("know busted's words, and turn them round", function()
    assert.equal("passed", failure[[
      assert.equal(1, 1) assert.equals("a", "a") assert.are.equal(1, 1) assert.not_equal(1, 2) assert.are_not.equal(1, 2) assert.is_not.equal(1, 2)
      assert.same({ a = { 1, 2 } }, { a = { 1, 2 } }) assert.are.same({}, {}) assert.are_not.same({ 1 }, { 2 }) assert.is_not_same({ 1 }, { 1, 2 })
      assert.is_true(true) assert.is_false(false) assert.is_nil(nil) assert.is_not_nil(1) assert.truthy(0) assert.falsy(nil) assert.is_not_true(1)
      assert.is_table({}) assert.is_string("") assert.is_function(print or type) assert.near(1, 1.05, 0.1)
      assert.matches("^a+$", "aaa") assert.does_not_match("b", "aaa")
      assert.has_error(function() error("boom", 0) end) assert.has_error(function() error("boom") end, "boom")
      assert.has_error(function() error({ code = 1 }) end, { code = 1 }) assert.has_no.errors(function() end)
      assert.error_matches(function() error("number 7") end, "number %d")
      assert(1 == 1, "never said") assert.equal(3, select("#", assert(1, 2, 3)))]])
  end)

  it("say what was expected and what came", function()
    assert.equal("spec/main_spec.lua:2: expected 1, got \"1\"", failure[[assert.equal(1, "1")]])
    assert.equal("spec/main_spec.lua:3: score: expected 60, got 30", failure("local score = 30\nassert.equal(60, score, 'score')"))
    assert.equal("spec/main_spec.lua:2: expected nil, got { 1, 2 }", failure[[assert.is_nil({ 1, 2 })]])
    assert.equal("spec/main_spec.lua:2: expected anything but 1", failure[[assert.not_equal(1, 1)]])
    assert.equal('spec/main_spec.lua:2: expected the error "one", got "spec/main_spec.lua:2: two"', failure[[assert.has_error(function() error("two") end, "one")]])
    assert.equal("spec/main_spec.lua:2: expected an error, but there was none", failure[[assert.has_error(function() end)]])
    assert.equal('spec/main_spec.lua:2: expected { lead = { score = 60 } }\n     got { lead = { score = 30 }, x = true }\n      at .lead.score: expected 60, got 30',
      failure[[assert.same({ lead = { score = 60 } }, { lead = { score = 30 }, x = true })]])
    assert.equal("spec/main_spec.lua:2: assert.sane is not known; see same, equal, is_true, is_nil, truthy, matches, has_error", failure[[assert.sane(1)]])
    assert.equal("spec/main_spec.lua:2: attempt to index local 'x' (a nil value)", failure[[local x = nil return x.y]])
    assert.equal('spec/main_spec.lua:1: the error is { 1, 2 }', failure[[error({ 1, 2 })]])
  end)

  it("are told where a caller makes no sense", function()
    assert.equal('spec/main_spec.lua:2: simulate: steps[1].key must be one key as text, such as "1"', failure[[simulate{ steps = { { key = 1 } } }]])
    assert.equal("spec/main_spec.lua:2: simulate: to must be text of at most 128 bytes", failure[[simulate{ to = 5 }]])
    assert.equal("spec/main_spec.lua:2: simulate: must be a table", (failure[[simulate("1")]]:gsub("a caller ", "")))
  end)

  it("fail with the line of a test that never ends, and go on behind it", function()
    local report = run([[
it("loops", function()
  while true do end
end)
it("is behind it", function() assert.same({ "a", "c" }, simulate{}.states) end)]])
    assert.same({ 1, 1 }, { report.passed, report.failed })
    assert.equal("loops", report.failures[1].name)
    assert.equal(2, report.failures[1].line)
    assert.equal("is behind it", report.tests[2].name)
  end)

  it("go on in a new process when one dies in a test", function()
    local report = run([[
it("is too large", function()
  local s = ("x"):rep(2 ^ 20)
  s = s .. s .. s .. s .. s .. s .. s .. s
  s = s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s
end)
it("is behind it", function() assert.same({ "a", "c" }, simulate{}.states) end)]])
    assert.same({ 1, 1 }, { report.passed, report.failed })
    assert.equal("is too large", report.failures[1].name)
    assert.equal("spec/main_spec.lua", report.failures[1].file)
    assert.equal("the process died while this test ran", report.failures[1].text)
  end)

  it("fail when their file does", function()
    local report = run("local x = nil\nlocal y = x.z")
    assert.same({ 0, 1 }, { report.passed, report.failed })
    assert.equal(2, report.failures[1].line)
    report = run("simulate{}")
    assert.equal(1, report.failed)
    assert.matches("while it loads", report.failures[1].text)
  end)

  it("are chosen by a part of their names", function()
    local report = run("it('one', function() end) describe('two', function() it('three', function() end) end)", { filter = "two t" })
    assert.same({ "two three" }, { report.tests[1].name, report.tests[2] })
  end)

  it("require what lies deeper in spec/, and each file has a process of its own", function()
    local more = {
      ["spec/help/keys.lua"] = "return { one = { { key = '1' } }, check = function(x) assert.is_true(x) end }",
      ["spec/second_spec.lua"] = "it('is alone', function() assert.is_nil(was_here) end)",
      ["lib/count.lua"] = "local n = { count = 0 } return n",
    }
    local report = run([[
local keys = require "spec.help.keys"
local n = require "lib.count"
it("uses it", function() was_here = true keys.check(simulate{ steps = keys.one }.states[2] == "b") n.count = n.count + 1 end)
it("keeps its own variables", function() assert.equal(1, n.count) end)]], nil, more)
    assert.same({ 3, 0 }, { report.passed, report.failed })
  end)

  it("see the same globals as the flows they test, and do not change them", function()
    local report = run([[it("is plain in a flow", function()
      local call = simulate{ flow = "flows/other.lua" }
      assert.same({ assert = "function", describe = "nil" }, call.data)
    end)]], nil, { ["flows/other.lua"] = [[local flow = require "flow"
      return flow.define{ start = "a", a = function(call) call.data.assert, call.data.describe = type(assert), type(describe) end }]] })
    assert.same({ 1, 0 }, { report.passed, report.failed })
  end)

  it("have results of long calls with the beginning of their trace", function()
    local long = [[local flow = require "flow"
      return flow.define{ start = "a", a = function(call) for i = 1, 400 do call:log(("text "):rep(100)) end end }]]
    local report = run([[it("is long", function()
      local call = simulate{ flow = "flows/long.lua" }
      assert.is_true(call.cut)
      assert.truthy(#call.trace > 10)
      assert.equal("done", call.outcome)
    end)]], nil, { ["flows/long.lua"] = long })
    assert.same({}, report.failures)
  end)

  it("are told by line what they have not come to", function()
    local coverage = require "sim.coverage"
    local lines = coverage.new()
    local report = run([[it("is silent", function() simulate{} end)]], { cover = function(open)
      lines:add("flows/main.lua", open.cell.covered("flows/main.lua"), open.files["flows/main.lua"])
      assert.is_nil(open.cell.covered("flows/none.lua"))
    end })
    assert.same({ path = "flows/main.lua", hit = 4, code = 5, percent = 80, missing = "6" }, lines:files()[1])
    assert.same({ { path = "flows/main.lua", visited = 2, defined = 3, percent = 200 / 3, missing = { "b" } } }, coverage.states(report.flows, report.states))
  end)

  it("cannot be run in a bundle that would be refused", function()
    local report, err = sim.specs(world.bytes("start = 5", { ["spec/a.lua"] = "" }))
    assert.is_nil(report)
    assert.equal("invalid", err.code)
    assert.matches("start must name a state", err.text)
  end)

  it("need not be there", function()
    local report = assert(sim.specs(world.bytes(FLOW)))
    assert.same({ 0, 0 }, { report.passed, report.failed })
  end)

  it("end when they take longer than they may", function()
    local report = run([[it("sleeps in loops", function() for i = 1, 1e6 do simulate{} end end) it("never", function() end)]], { limit_s = 1 })
    assert.is_true(report.stopped)
    assert.equal(1, report.failed)
    assert.matches("took longer than 1 s", report.failures[1].text)
  end)
end)
