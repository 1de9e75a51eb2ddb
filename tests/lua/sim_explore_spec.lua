-- SPDX-License-Identifier: Apache-2.0
--- What the explorer finds in flows with a bug in them.
if not pcall(require, "core.cell") then return end

local explore = require "sim.explore"
local render = require "sim.render"
local sim = require "sim"
local world = require "sim_world"

local function walk(states, options)
  local open, err = sim.open(world.bytes(states), { eager = true })
  assert(open, err and err.text)
  local result = explore.run(open, options or {})
  open.close()
  return result
end

local function kinds(result)
  local list = {}
  for i, one in ipairs(result.findings) do list[i] = one.kind .. " " .. tostring(one.state) end
  table.sort(list)
  return list
end

describe("exploring a flow", function()
  it("finds nothing in one that is right", function()
    local result = walk[[start = "a",
      a = function(call) return call:menu{ prompt = "One?", ["1"] = "b", otherwise = "c" } end,
      b = function(call) call.data.zip = call:gather{ digits = 5 } return "c" end,
      c = function(call) call:say "Goodbye." call:hangup() end,
      ended = function(call, why) call:log(why) end]]
    assert.same({}, kinds(result))
    assert.is_true(result.complete)
  end)

  it("finds a wrong state's name that is made while it runs, and the caller who gets there", function()
    local result = walk[[start = "a",
      a = function(call) local key = call:menu{ ["1"] = "one", ["2"] = "two", otherwise = "one" } return "state_" .. key end,
      state_one = function(call) call:hangup() end]]
    assert.same({ "crash a" }, kinds(result))
    local one = result.findings[1]
    assert.matches("'state_two', which is no state", one.text, 1, true)
    assert.is_true(one.confirmed)
    assert.equal('simulate{ steps = { { key = "2" } } }', render.caller(one.caller))
  end)

  it("finds what a state ended takes for given when the caller hangs up early", function()
    local result = walk[[start = "a",
      a = function(call) call:say "Hello." call.data.lead = call:create_lead{} or { id = "none" } return "b" end,
      b = function(call) call:say "Goodbye." call:hangup() end,
      ended = function(call) call:log("lead " .. call.data.lead.id) end]]
    assert.same({ "crash ended" }, kinds(result))
    local one = result.findings[1]
    assert.equal("flows/main.lua", one.file)
    assert.equal(6, one.line)
    assert.is_true(one.confirmed)
    assert.equal("simulate{ steps = { { at = 0.1, hangup = true } } }", render.caller(one.caller))
  end)

  it("finds a menu that a silent caller never leaves", function()
    local result = walk[[start = "a",
      a = function(call) call:say "Welcome." return "b" end,
      b = function(call) return call:menu{ prompt = "Nine to end.", ["9"] = "c", otherwise = "b" } end,
      c = function(call) call:hangup() end]]
    assert.same({ "endless b" }, kinds(result))
    assert.equal("b -> b goes round for ever while the caller does nothing", result.findings[1].text)
  end)

  it("finds a loop through several states, and one within a state", function()
    local result = walk[[start = "a",
      a = function(call) call:say "A." return "b" end,
      b = function(call) return call:menu{ ["1"] = "c", otherwise = "a" } end,
      c = function(call) call:hangup() end]]
    assert.same({ "endless b" }, kinds(result))
    assert.equal("b -> a -> b goes round for ever while the caller does nothing", result.findings[1].text)
    assert.same({ "endless a" }, kinds(walk[[start = "a",
      a = function(call) local key repeat key = call:gather{ prompt = "Key?" } until key return "c" end,
      c = function(call) call:hangup() end]]))
  end)

  it("does not take a flow for endless that counts its tries", function()
    local result = walk[[start = "a",
      a = function(call)
        call.data.tries = (call.data.tries or 0) + 1
        if call.data.tries > 3 then return "c" end
        return call:menu{ ["1"] = "c", otherwise = "a" }
      end,
      c = function(call) call:hangup() end]]
    assert.same({}, kinds(result))
  end)

  it("finds states that nothing leads to, and places that only hanging up gets out of", function()
    assert.same({ "unreachable b" }, kinds(walk[[start = "a", a = function(call) call:hangup() end, b = function(call) call:hangup() end]]))
    local result = walk[[start = "a",
      a = function(call) return call:menu{ ["1"] = "b", otherwise = "c" } end,
      b = function(call) return call:menu{ ["1"] = "b", ["2"] = "b2", otherwise = "b" } end,
      b2 = function(call) call:say "And again." return "b" end,
      c = function(call) call:hangup() end]]
    assert.same({ "dead end b", "endless b" }, kinds(result))
  end)

  it("finds what happens when a lead is not stored or nobody can be reached", function()
    local result = walk[[start = "a",
      a = function(call) call.data.id = call:create_lead{ score = 1 }.id return "b" end,
      b = function(call) local how, err = call:transfer("+12025550142") if err and err.code == "rejected" then error("rejected") end end]]
    assert.same({ "crash a", "crash b" }, kinds(result))
    assert.same({ "rejected" }, result.findings[2].caller.transfer)
    assert.is_true(result.findings[1].confirmed and result.findings[2].confirmed)
  end)

  it("finds what happens when nothing can be recorded", function()
    local result = walk[[start = "a", a = function(call) call:say("You spoke for " .. call:record{}.seconds) end]]
    assert.same({ "crash a" }, kinds(result))
    assert.equal('simulate{ fail = { record = { { code = "failed", text = "it could not be done" } } } }', render.caller(result.findings[1].caller))
  end)

  it("tries each error that the gate has for a verb, once", function()
    local outcomes = require "sim.outcomes"
    local function codes(row, args)
      local list = {}
      for _, outcome in ipairs(outcomes.of(row, args or { {} }, {})) do list[#list + 1] = outcome.fail and outcome.fail.code end
      return list
    end
    assert.same({ "lost" }, codes{ name = "fetch", errors = { { code = "lost" } } })
    assert.same({ "failed", "invalid" }, codes{ name = "create_lead", errors = { { code = "failed" }, { code = "invalid" } } })
    assert.same({}, codes({ name = "gather", errors = { { code = "timeout" } } }, { { digits = 1, finish = "#", timeout = 5 } }))
    assert.same({}, codes{ name = "transfer", errors = { { code = "busy" }, { code = "limit" } } })
  end)

  it("stops where there is no end of places, and says that not all was tried", function()
    local result = walk([[start = "a", a = function(call) call.data.n = (call.data.n or 0) + 1 call:gather{} return "a" end]], { calls = 300 })
    assert.is_false(result.complete)
  end)
end)
