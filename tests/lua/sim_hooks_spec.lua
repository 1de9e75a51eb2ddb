-- SPDX-License-Identifier: Apache-2.0
--- Hooks of simulated calls, asked in real cells.
if not pcall(require, "core.cell") then return end

local caller = require "sim.caller"
local explore = require "sim.explore"
local render = require "sim.render"
local sim = require "sim"
local world = require "sim_world"

local LEAD = [[start = "a", a = function(call) call.data.lead = call:create_lead{ notes = "roof" } end]]

-- The steps of a call's trace that are hooks.
local function asked(result, name)
  local list = {}
  for _, step in ipairs(result.trace) do
    if step.hook and (not name or step.hook == name) then list[#list + 1] = step end
  end
  return list
end

local function run_spec(body, more)
  local files = { ["spec/main_spec.lua"] = 'it("x", function()\n' .. body .. "\nend)" }
  for path, data in pairs(more or {}) do files[path] = data end
  return assert(sim.specs(world.bytes([[start = "a", a = function(call) call:hangup() end]], files), { eager = true }))
end

describe("a simulated call of a bundle with hooks", function()
  it("runs the flow that routing gives, and its flow sees the route", function()
    local result = world.play([[start = "a", a = function() end]], { from = "+442071234567" }, {
      ["routing.lua"] = [[return function(call)
        if call.from:find("^%+44") then return { flow = "flows/uk.lua", priority = 50, skills = { "english" } } end
      end]],
      ["flows/uk.lua"] = [[return require("flow").define{ start = "uk", uk = function(call) call.data.priority = call.route.priority end }]],
    })
    assert.equal("flows/uk.lua", result.flow)
    assert.same({ flow = "flows/uk.lua", priority = 50, skills = { "english" } }, result.route)
    assert.same({ "uk" }, result.states)
    assert.equal(50, result.data.priority)
    local step = result.trace[1]
    assert.same({ "routing", "(before)", { "flows/main.lua", "flows/uk.lua" } }, { step.hook, step.state, step.input.flows })
    assert.equal(1767258000, step.input.now)
  end)

  it("runs the flow of its number where routing leaves the decision, fails or is late", function()
    local more = { ["routing.lua"] = [[return function(call) if call.from == "+15550111" then error("no idea") end end]] }
    local states = [[start = "a", a = function() end]]
    local left = world.play(states, {}, more)
    assert.same({ "flows/main.lua", 0 }, { left.flow, #left.errors })
    assert.matches("the flow that `numbers` of bundle.lua names", asked(left)[1].fallback, 1, true)
    local broken = world.play(states, { from = "+15550111" }, more)
    assert.same({ "flows/main.lua", "done" }, { broken.flow, broken.outcome })
    assert.same({ "hook", "the hook routing: no idea", "routing.lua", 1 }, { broken.error.kind, broken.error.text, broken.error.file, broken.error.line })
    assert.equal("error", asked(broken)[1].error.code)
    local late = world.play(states, { fail = { routing = { code = "late" } } }, more)
    assert.same({ 0.2, 200, "late" }, { late.seconds, asked(late)[1].took_ms, asked(late)[1].error.code })
  end)

  -- It was told as the platform's failure, without a place.
  it("is told where a hook took its whole process with it", function()
    local bomb = "return " .. ("s .. "):rep(99) .. "s"  -- 100 MB in one step
    local result = world.play([[start = "a", a = function() end]], {}, {
      ["routing.lua"] = "return function()\n  local s = ('x'):rep(1e6)\n  " .. bomb .. "\nend" })
    assert.same({ "hook", "routing.lua" }, { result.error.kind, result.error.file })
    assert.equal("died", asked(result, "routing")[1].error.code)
  end)

  it("is not routed where its caller says which flow", function()
    local result = world.play([[start = "a", a = function() end]], { flow = "flows/main.lua" }, { ["routing.lua"] = "return function() return 5 end" })
    assert.same({}, asked(result))
  end)

  it("gives a lead the score and reasons of its hook, once more when it has ended", function()
    local result = world.play(LEAD .. ", ended = function(call) call:wait(0) end", {}, { ["scoring.lua"] = [[return function(lead)
      return { score = lead.call.outcome and 70 or 40, reasons = { lead.notes } } end]] })
    assert.equal(40, result.data.lead.score)
    assert.same({ 70, { "roof" } }, { result.lead.score, result.lead.reasons })
    local steps = asked(result, "scoring")
    assert.same({ 2, "a", "(after)" }, { #steps, steps[1].state, steps[2].state })
  end)

  it("leaves a score that its flow gave as it is", function()
    local states = [[start = "a", a = function(call) call:create_lead{ score = 5 } end]]
    local result = world.play(states, {}, { ["scoring.lua"] = "return function() return 90 end" })
    assert.same({ 5, {} }, { result.lead.score, asked(result) })
  end)

  it("gives a lead to the agent that assignment chooses", function()
    local more = { ["assignment.lua"] = "return function(input) return input.agents[#input.agents].id end" }
    local result = world.play(LEAD, { agents = { { id = "us_1", name = "Ann" }, { id = "us_9", name = "Bo" } } }, more)
    assert.same({ "us_9", "assigned" }, { result.lead.agent, result.lead.status })
    assert.is_nil(world.play(LEAD, { agents = {} }, more).lead.agent)
  end)

  it("is not placed where may_contact says no", function()
    local more = { ["campaigns.lua"] = [[return { may_contact = function(input)
      return { allowed = input.campaign.code ~= "night", reason = "they sleep" } end }]] }
    local states = [[start = "a", a = function(call) call:say "Hello." end]]
    local refused = world.play(states, { direction = "outbound", campaign = { code = "night" } }, more)
    assert.same({ "not_allowed", "they sleep", 0, {} }, { refused.outcome, refused.reason, refused.seconds, refused.states })
    assert.equal("done", world.play(states, { direction = "outbound", campaign = { code = "day" } }, more).outcome)
    assert.matches("not_allowed: they sleep", render.call(refused)[3], 1, true)
  end)

  it("goes on when a hook loops", function()
    local result = world.play(LEAD, {}, { ["scoring.lua"] = "return function() while true do end end" })
    assert.same({ "done", 0, "cpu" }, { result.outcome, result.lead.score, asked(result)[1].error.code })
  end)

  it("shows hooks as people read them", function()
    local lines = table.concat(render.call(world.play(LEAD, {}, { ["scoring.lua"] = "return function() end" })), "\n")
    assert.matches("hook scoring{", lines, 1, true)
    assert.matches("nil, so the score that was given, else 0", lines, 1, true)
  end)

  it("refuses agents, campaigns and errors of hooks that there are not", function()
    assert.equal("there is no such verb or hook", select(2, caller.check{ fail = { scorng = { code = "failed" } } }).text)
    assert.equal("agents[1]", caller.where(select(2, caller.check{ agents = { { name = "Ann" } } }).path))
    assert.equal("campaign.colour", caller.where(select(2, caller.check{ campaign = { colour = "red" } }).path))
  end)
end)

describe("a spec", function()
  local SCORING = { ["scoring.lua"] = [[return function(lead)
  if lead.notes == "bad" then error("cannot read this") end
  if lead.notes then return #lead.notes end
end]] }

  it("asks a hook by itself", function()
    local report = run_spec([[
      assert.same({ score = 4 }, hook("scoring", { notes = "roof" }))
      assert.is_nil(hook("scoring", {}))
      local none, err = hook("scoring", { notes = "bad" })
      assert.is_nil(none)
      assert.same({ "error", "cannot read this", "scoring.lua", 2 }, { err.kind, err.text, err.file, err.line })]], SCORING)
    assert.same({}, report.failures)
  end)

  it("is told what a hook cannot be asked", function()
    local function text_of(body) return run_spec(body, SCORING).failures[1].text end
    assert.equal("hook: the bundle has no hook 'routing'; it has scoring", text_of('hook("routing", {})'))
    assert.matches("scoring.note is nothing that this hook is given; it is given call, campaign", text_of('hook("scoring", { note = "x" })'), 1, true)
    assert.equal("hook: scoring.notes must be a string, not a number", text_of('hook("scoring", { notes = 5 })'))
  end)

  it("sees the route of a call and how its hooks answered", function()
    local report = run_spec([[
      local call = simulate{}
      assert.equal("flows/main.lua", call.route.flow)
      assert.equal("routing", call.trace[1].hook)]], { ["routing.lua"] = 'return function() return "flows/main.lua" end' })
    assert.same({}, report.failures)
  end)
end)

describe("exploring a bundle with hooks", function()
  local function walk(states, more)
    local open = assert(sim.open(world.bytes(states, more), { eager = true }))
    local result = explore.run(open, {})
    open.close()
    return result
  end

  it("finds what a flow takes for given that a hook may leave out", function()
    local result = walk([[start = "a", a = function(call) call:say("You are number " .. call.route.queue) end]],
      { ["routing.lua"] = 'return function() return { flow = "flows/main.lua", queue = "1" } end' })
    assert.equal(1, #result.findings)
    local one = result.findings[1]
    assert.same({ "crash", "flows/main.lua", true }, { one.kind, one.file, one.confirmed })
    assert.equal('simulate{ fail = { routing = { { code = "failed", text = "the hook fails" } } } }', render.caller(one.caller))
  end)

  it("finds what breaks when scoring fails, and a hook that breaks itself", function()
    local states = [[start = "a", a = function(call)
      local lead = call:create_lead{}
      if lead and lead.score == 0 then error("no score") end
    end]]
    local result = walk(states, { ["scoring.lua"] = "return function() return 40 end" })
    assert.equal("no score", result.findings[1].text)
    assert.same({ { code = "failed", text = "the hook fails" } }, result.findings[1].caller.fail.scoring)
    assert.is_true(result.findings[1].confirmed)
    result = walk(LEAD, { ["scoring.lua"] = "return function(lead)\n  return lead.data.mood * 10\nend" })
    assert.same({ "crash", "scoring.lua", 2, true }, { result.findings[1].kind, result.findings[1].file, result.findings[1].line, result.findings[1].confirmed })
  end)
end)
