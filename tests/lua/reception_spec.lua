-- SPDX-License-Identifier: Apache-2.0
--- The default flow that the operator's rules come with, in simulated calls.
if not pcall(require, "core.cell") then return end

local operator = require "scripts.operator"
local explore = require "sim.explore"
local sim = require "sim"
local bundle = require "core.bundle"

local FLOW = "flows/reception.lua"

describe("the default flow", function()
  local open

  setup(function()
    local files = { { path = "bundle.lua", data = 'return { numbers = { ["*"] = "flows/reception.lua" }, fallback = { hangup = true } }' } }
    for _, one in ipairs(operator.shipped().files) do
      if one.path == FLOW then files[#files + 1] = one end
    end
    local err
    open, err = sim.open(assert(bundle.pack(files)), { eager = true })
    assert(open, err and err.text)
  end)
  teardown(function() open.close() end)

  local function states(given)
    local result = assert(sim.call(open, given))
    assert.same({}, result.errors)
    return result.states, result
  end

  it("greets, and answers until the caller has no more questions", function()
    local went, result = states{ steps = { { say = "When do you open?" }, { say = "Thank you." } }, ai = { { say = "At nine." }, { tool = "hangup" }, { say = "Goodbye." } } }
    assert.same({ "greeting", "question", "goodbye" }, went)
    assert.equal("At nine.", result.said[3])
    assert.is_nil(result.lead)
  end)

  it("takes a message where a human is needed, and says what it was about", function()
    local went, result = states{ steps = { { say = "My roof is leaking." }, { say = "I want to speak to a human." }, { say = "Please call me." } } }
    assert.same({ "greeting", "question", "escalation", "goodbye" }, went)
    assert.truthy(result.lead.notes:find("My roof is leaking.", 1, true))
  end)

  it("writes no personal value that the caller told into the lead's notes, also none that he told over two turns", function()
    local _, result = states{ steps = { { say = "Call me at zero one seven zero one two three" }, { say = "four five six seven, or write to ann@example.com" },
      { say = "My card is 4111 1111 1111 1111." }, { say = "I want to speak to a human." }, { say = "Please call me." } },
      ai = { { say = "Yes?" }, { say = "Noted." }, { say = "Noted, too." } } }
    local notes = result.lead.notes
    for _, masked in ipairs{ "Call me at [PHONE]", '"[PHONE], or write to [EMAIL]"', "My card is [CARD]." } do assert.truthy(notes:find(masked, 1, true), notes) end
    for _, told in ipairs{ "zero one seven", "four five six", "4111", "example" } do assert.is_nil(notes:find(told, 1, true), notes) end
  end)

  it("makes one lead of a caller, not two", function()
    local _, result = states{ steps = { { say = "I want a roof." }, { say = "A human, please." } }, ai = { { tool = "create_lead", given = { name = "Ann" } }, { say = "Noted." } } }
    assert.equal(1, #result.leads)
  end)

  it("has no mistake that can be found", function()
    local report = assert(explore.run(open, { flow = FLOW }))
    assert.same({}, report.findings)
    assert.is_true(report.complete)
  end)
end)
