-- SPDX-License-Identifier: Apache-2.0
--- Tools of a script's own: what their functions are given of what a model writes, and what the model is told of what they give.
local json = require "core.json"
local own_tools = require "calls.talk.own_tools"

local TOOL = own_tools.tool{ name = "book", description = "Books.", parameters = {
  who = { type = "string" }, beds = { type = "integer" }, price = { type = "number", optional = true }, pets = { type = "boolean", optional = true },
  floor = { type = "string", enum = { "ground", "top" }, optional = true } } }

local function given(more)
  local all = { who = "Ann", beds = 2 }
  for name, value in pairs(more or {}) do all[name] = value end
  return own_tools.arguments(TOOL, all)
end

describe("a tool of a script's own", function()
  it("is told of with what it must be given, in an order that does not change", function()
    assert.same({ "beds", "who" }, { unpack(TOOL.parameters.required) })
    assert.is_false(TOOL.parameters.additionalProperties)
    assert.equal('["ground","top"]', json.encode(TOOL.parameters.properties.floor.enum))
    assert.is_true(own_tools.is(TOOL))
    assert.is_false(own_tools.is{ name = "book" })
  end)

  it("is given its parameters as their types, and no others", function()
    assert.same({ who = "Ann", beds = 2 }, given{ colour = "red" })
    assert.same({ who = "42", beds = 3, price = 1.5, pets = false, floor = "top" }, given{ who = 42, beds = "3", price = "1.5", pets = false, floor = "top" })
    assert.same({ who = "Ann", beds = 2 }, given{ price = json.null, pets = json.null })
    assert.equal(2000, #given{ who = ("x"):rep(9000) }.who)
    assert.equal("????", given{ who = "\255\254\253\252" }.who)
  end)

  it("is not given what is of another type, and the model is told which", function()
    for _, case in ipairs{ { { who = { "Ann" } }, "who must be a string" }, { { who = true }, "who must be a string" }, { { beds = 2.5 }, "beds must be an integer" },
      { { beds = "many" }, "beds must be an integer" }, { { beds = 2 ^ 60 }, "beds must be an integer" }, { { beds = {} }, "beds must be an integer" },
      { { price = "nan" }, "price must be a number" }, { { price = "inf" }, "price must be a number" }, { { price = false }, "price must be a number" },
      { { pets = "yes" }, "pets must be a boolean" }, { { pets = 1 }, "pets must be a boolean" }, { { floor = "first" }, "floor must be one of ground, top" },
      { { who = json.null }, "who is missing" } } do
      local checked, problem = given(case[1])
      assert.is_nil(checked)
      assert.equal(case[2], problem)
    end
  end)

  it("tells the model what it gave, also when that is nothing, and refuses what is too much", function()
    assert.same({ result = { 1 }, bound = true }, own_tools.result{ value = { 1 } })
    assert.same({ result = "done", bound = true }, own_tools.result{})
    assert.same({ result = false, bound = true }, own_tools.result{ value = false })
    assert.same({ "invalid", "no" }, { select(2, own_tools.result{ refused = "no" }).code, select(2, own_tools.result{ refused = "no" }).text })
    assert.equal("failed", select(2, own_tools.result{ broke = "flows/main.lua:3: no" }).code)
    assert.is_nil(select(2, own_tools.result{ broke = "flows/main.lua:3: no" }).text:find("main.lua", 1, true))
    for _, value in ipairs{ ("x"):rep(9000), "\255" } do assert.equal("failed", select(2, own_tools.result{ value = value }).code) end
  end)

  it("cannot be run where nobody asks its script, and waits no longer than its script is waited for", function()
    assert.equal("failed", select(2, own_tools.run({}, TOOL, { who = "Ann", beds = 2 })).code)
    local late = { asks = { ask = function() return nil, { code = "timeout", text = "it takes too long" } end } }
    assert.same({ "timeout" }, { select(2, own_tools.run(late, TOOL, { who = "Ann", beds = 2 })).code })
  end)
end)
