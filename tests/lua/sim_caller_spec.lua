-- SPDX-License-Identifier: Apache-2.0
--- The simulated caller's sense of time, and how keys become an answer. Pure.
require "stand_in"
local caller = require "sim.caller"
local keys = require "calls.keys"

-- A call as the caller sees it.
local function call()
  return {
    now_ms = 0, digits = {}, spoken = {},
    move_to = function(self, ms) self.now_ms = ms end,
    on_digit = function(self, digit) table.insert(self.digits, digit) end,
    on_speech = function(self, text) table.insert(self.spoken, text) end,
    on_gone = function(self) self.gone_why = "caller" end,
    set_wall = function(self, us) self.wall = us end,
  }
end

local function him(steps) return caller.new(assert(caller.check{ steps = steps })) end

describe("a simulated caller", function()
  it("presses a key half a second after he is asked", function()
    local one, at = call(), him{ { key = "1" } }
    assert.equal("digit", at:await(one, 5000, "keys"))
    assert.equal(500, one.now_ms)
    assert.same({ "1" }, one.digits)
    assert.equal("timeout", at:await(one, 5000, "keys"))
    assert.equal(5500, one.now_ms)
  end)

  it("lets people speak, unless a key is to interrupt", function()
    local one = call()
    assert.equal("timeout", him{ { key = "1" } }:await(one, 2000, "sound", true))
    assert.equal("digit", him{ { key = "1", interrupt = true } }:await(one, 2000, "sound", true))
    assert.equal("timeout", him{ { key = "1", interrupt = true } }:await(one, 2000, "sound", false))
  end)

  it("hangs up in the verb that is next, however short", function()
    local one, at = call(), him{ { hangup = true } }
    assert.equal("gone", at:await(one, 100, "sound"))
    assert.equal(100, one.now_ms)
  end)

  it("spends one silence in one wait", function()
    local one, at = call(), him{ { silence = 5 }, { silence = 5 }, { key = "1" } }
    assert.equal("timeout", at:await(one, 5000, "keys"))
    assert.equal("timeout", at:await(one, 3000, "sound"))
    assert.equal("timeout", at:await(one, 5000, "keys"))
    assert.equal("timeout", at:await(one, 3000, "sound"))
    assert.equal("digit", at:await(one, 5000, "keys"))
  end)

  it("does what has a time at that time, whatever runs", function()
    local one, at = call(), him{ { key = "5", at = 1 }, { hangup = true, at = 3 } }
    assert.equal("digit", at:await(one, 10000, "quiet"))
    assert.equal(1000, one.now_ms)
    assert.equal("gone", at:await(one, 10000, "sound"))
    assert.equal(3000, one.now_ms)
  end)

  it("is described by text that names the place of a mistake", function()
    local _, problem = caller.check{ steps = { { key = "1" }, { keys = "12x" } } }
    assert.equal("steps[2].keys", caller.where(problem.path))
    assert.equal("/steps/1/keys", caller.pointer(problem.path))
  end)
end)

describe("keys", function()
  it("are complete at the wanted number or the finishing key", function()
    assert.same({ 2, "12", true }, { keys.read({ "1", "2", "3" }, 2, "#") })
    assert.same({ 2, "1", true }, { keys.read({ "1", "#", "3" }, 4, "#") })
    assert.same({ 2, "12", false }, { keys.read({ "1", "2" }, 4, "#") })
    assert.same({ 2, "1#", false }, { keys.read({ "1", "#" }, 4, "") })
  end)

  it("are waited for as long as between says once the first has come", function()
    local pressed, waits = { digits = {} }, {}
    local used, text = keys.collect(pressed, { timeout = 5, between = 2, finish = "#" }, 3, function(seconds)
      table.insert(waits, seconds)
      if #waits > 2 then return "timeout" end
      table.insert(pressed.digits, tostring(#waits))
      return "digit"
    end)
    assert.same({ 2, "12" }, { used, text })
    assert.same({ 5, 2, 2 }, waits)
  end)

  it("end with the caller", function()
    assert.same({ nil, "gone" }, { keys.collect({ digits = {} }, { timeout = 5 }, 1, function() return "gone" end) })
  end)

  it("of a menu are asked for again when they stand for nothing", function()
    local tries = { "", "9", "1" }
    local options = { repeats = 2, ["1"] = "sales", otherwise = "human" }
    assert.equal("sales", keys.menu(options, function() return table.remove(tries, 1) end))
    assert.equal("human", keys.menu(options, function() return "" end))
    assert.same({ nil, { code = "gone" } }, { keys.menu(options, function() return nil, { code = "gone" } end) })
  end)
end)

describe("a simulated call as it is shown", function()
  local render = require "sim.render"

  it("has a line for each verb, under its state, with the time and what came of it", function()
    local lines = render.call{
      trace = {
        { at_ms = 0, state = "greeting", verb = "say", args = { "Hello." }, result = true },
        { at_ms = 61500, state = "sales", verb = "gather", args = { { digits = 5 } }, error = { code = "timeout", text = "no key was pressed" }, used_us = 120 },
        { at_ms = 61500, state = "sales", verb = "transfer", args = { "+1", { timeout = 20 } }, result = "answered" },
      },
      errors = { { file = "flows/main.lua", line = 7, text = "attempt\27[2J", state = "sales" } },
      seconds = 62, outcome = "fallback", hangup_by = "platform",
    }
    assert.same({
      "        greeting",
      ' 0:00.0   say "Hello." -> true',
      "        sales",
      " 1:01.5   gather{ digits = 5 } -> timeout: no key was pressed   (120 us)",
      ' 1:01.5   transfer("+1", { timeout = 20 }) -> "answered"',
      "        ! flows/main.lua:7: attempt?[2J (in state sales)",
      " 1:02.0   fallback, hung up by the platform",
    }, lines)
  end)

  it("cuts what does not fit a line", function()
    local lines = render.call{ trace = { { at_ms = 0, state = "a", verb = "say", args = { ("word "):rep(100) }, result = true } }, errors = {}, seconds = 1,
      outcome = "done", hangup_by = "flow" }
    assert.is_true(#lines[2] <= 115)
    assert.matches("%.%.%. %-> true$", lines[2])
  end)

  it("is written as a spec takes it", function()
    assert.equal("simulate{}", render.caller{})
    assert.equal('simulate{ fail = { create_lead = { { code = "failed" } } }, flow = "flows/b.lua", steps = { { key = "1" }, { silence = 5 }, { at = 1.5, hangup = true } } }',
      render.caller{ flow = "flows/b.lua", fail = { create_lead = { { code = "failed" } } }, steps = { { key = "1" }, { silence = 5 }, { hangup = true, at = 1.5 } } })
    assert.equal('simulate{ data = { ["a b"] = "say \\"x\\"" } }', render.caller{ data = { ["a b"] = 'say "x"' } })
  end)
end)

describe("coverage", function()
  local coverage = require "sim.coverage"

  it("adds up over cells, and leaves out lines that only close what others opened", function()
    local lines = coverage.new()
    local source = "local x = 1\nif x then\n  x = 2\nelse\n  x = 3\nend -- done\nreturn {\n}\n"
    lines:add("a.lua", "110000-1-", source)
    assert.same({ path = "a.lua", hit = 2, code = 4, percent = 50, missing = "3 5" }, lines:files()[1])
    lines:add("a.lua", "001100-1-", source)
    assert.same({ path = "a.lua", hit = 3, code = 4, percent = 75, missing = "5" }, lines:files()[1])
  end)
end)

describe("the reference of simulated calls", function()
  it("names every field that a caller may have", function()
    local text = require("core.json").encode(require("sim.reference").sections())
    local _, problem = caller.check{ nothing = true }
    local fields = problem.text:match("there are (.*)$")
    for name in fields:gmatch("%w[%w_]*") do assert.truthy(text:find("`" .. name .. "`", 1, true), name) end
  end)
end)
