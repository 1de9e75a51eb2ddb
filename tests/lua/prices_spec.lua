-- SPDX-License-Identifier: Apache-2.0
--- Prices: what they may be, and what a use costs.
require "stand_in"
local rules = require "money.rules"
local schema = require "lib.schema"

local function shipped(name)
  local root = pcall(require, "core.worker") and require("core.worker").root or "."
  return assert(loadfile(root .. "/tenants/operator/" .. name .. ".lua"))()
end

-- What the upload says of them.
local function problem(prices)
  local checked, errors = schema.check(rules.prices, prices)
  if errors then return errors[1].pointer .. " " .. errors[1].detail end
  return rules.price_problem(checked) or rules.missing_problem(checked, shipped "prices")
end

describe("prices", function()
  it("that ship are whole, as are the plans", function()
    assert.is_nil(problem(shipped "prices"))
    local plans, errors = schema.check(rules.plans, shipped "plans")
    assert.is_nil(errors)
    assert.is_nil(rules.plan_problem(plans))
  end)

  it("are numbers, zero or more, in a currency that exists", function()
    local any = { input = 1 }
    assert.is_nil(problem{ currency = "EUR", models = { ["*"] = any } })
    assert.truthy(problem{ currency = "XYZ", models = { ["*"] = any } }:find("currency 'XYZ' is not known", 1, true))
    assert.truthy(problem{ currency = "EUR", models = { ["*"] = { input = -1 } } }:find("from 0", 1, true))
    assert.truthy(problem{ currency = "EUR", models = { ["*"] = { input = 0 / 0 } } })
    assert.truthy(problem{ currency = "EUR", models = { ["*"] = { input = "3" } } }:find("not a string", 1, true))
    assert.truthy(problem{ currency = "EUR", models = { ["*"] = { inptu = 3 } } }:find("inptu", 1, true))
    assert.truthy(problem{ currency = "EUR", models = { ["*"] = {} } }:find("has no price", 1, true))
    assert.truthy(problem{ currency = "EUR", models = {} }:find("from 1 to", 1, true))
    assert.truthy(problem{ models = { ["*"] = any } }:find("currency", 1, true))
  end)

  it("leave no model of the default list out, unless \"*\" stands for it", function()
    local prices = shipped "prices"
    prices.models["*"], prices.models["gpt-5.5"] = nil, nil
    assert.equal("models: no price for gpt-5.5; add them, or [\"*\"] for all others", problem(prices))
    prices.models["*"] = { input = 1 }
    assert.is_nil(problem(prices))
  end)
end)

describe("what a use costs", function()
  local prices = { currency = "USD", models = {
    ["m"] = { input = 3, output = 15, cached = 0.3 }, ["plain"] = { input = 2, output = 4 }, ["sound"] = { minute = 0.06 },
    ["tiered"] = { input = 2, output = 12, tier = { above_tokens = 1000, input = 4 } }, ["*"] = { input = 10, output = 50 },
  } }
  local function cost(model, usage) return rules.cost(prices, model, usage) end

  it("is the sum of tokens by their kinds, in millionths", function()
    assert.equal(1000 * 3 + 200 * 15 + 5000 * 0.3, cost("m", { input = 1000, output = 200, cached = 5000 }))
    assert.equal(0, cost("m", {}))
  end)

  it("counts cached tokens as input where they have no price of their own", function()
    assert.equal(300 * 2 + 10 * 4, cost("plain", { input = 100, cached = 150, written = 50, output = 10 }))
  end)

  it("moves the whole of a request to the tier of its prompt", function()
    assert.equal(1000 * 2 + 12, cost("tiered", { input = 1000, output = 1 }))
    assert.equal(1001 * 4 + 12, cost("tiered", { input = 1, cached = 1000, output = 1 }))
  end)

  it("counts sound by the second", function()
    assert.equal(30000, cost("sound", { seconds = 30 }))
    assert.equal(1000, cost("sound", { seconds = 1 }))
  end)

  it("is rounded to the nearest millionth", function()
    assert.equal(0, cost("m", { cached = 1 }))
    assert.equal(1, cost("m", { cached = 2 }))
  end)

  it("of an unknown model is that of \"*\", and says so; without one there is no price", function()
    local micros, exact = cost("nobody", { input = 1, output = 1 })
    assert.same({ 60, false }, { micros, exact })
    assert.is_true(select(2, cost("m", {})))
    assert.is_nil(rules.cost({ models = { m = { input = 1 } } }, "n", { input = 1 }))
  end)

  it("takes no amount that is none", function()
    for _, n in ipairs{ -1, 0 / 0, "1", 1 / 0 } do
      assert.is_false(pcall(cost, "m", { input = n }))
    end
  end)
end)
