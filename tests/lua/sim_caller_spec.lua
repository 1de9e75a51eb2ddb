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
