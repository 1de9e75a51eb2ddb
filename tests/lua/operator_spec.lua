-- SPDX-License-Identifier: Apache-2.0
--- The operator's rules in a real database and real cells: published, priced by, rolled back.
require "stand_in"
local world = require "data_world"
if not world or not os.getenv("PARLEY_CELLS") then
  describe("the operator's rules", function() pending("runs in the host, with a configuration whose sql.schema ends in _test, and PARLEY_CELLS=1") end)
  return
end

local audit = require "audit"
local db = require "lib.db"
local operator = require "scripts.operator"
local prices = require "money.prices"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local scripts = require "scripts"

describe("the operator's rules", function()
  setup(function()
    world.begin{}
    redis.call("DEL", rediskey("bundle:0"))
  end)
  teardown(function() redis.call("DEL", rediskey("bundle:0")) end)

  local function priced_at(input)
    return { { path = "prices.lua", data = ('return { currency = "EUR", models = { ["*"] = { input = %s } } }'):format(input) } }
  end

  local function publish(files, rollback)
    local version = files and assert(scripts.upload(operator.tenant, files, { actor = "us_op" }))
    local moved = audit.transaction(operator.tenant, function(tx)
      if rollback then return assert(scripts.pointers.rollback(tx, { actor = "us_op" })) end
      return assert(scripts.pointers.publish(tx, version.hash, { actor = "us_op" }))
    end)
    scripts.pointers.moved(operator.tenant, moved, "us_op")
    return moved.live.hash
  end

  it("are the shipped ones until some are published", function()
    assert.equal(operator.shipped().hash, scripts.live(operator.tenant))
    local cost = assert(prices.cost("gpt-5.5", { input = 1000, output = 100, cached = 2000 }))
    assert.same({ micros = 5000 + 3000 + 1000, currency = "USD", version = operator.shipped().hash, exact = true }, cost)
    assert.is_false(assert(prices.cost("a-model-of-tomorrow", { input = 1 })).exact)
    assert.equal("start", prices.plans().plans[1].id)
  end)

  it("price the next use when they are published, and the one after a roll-back as before, with the version that did", function()
    local first = publish(priced_at("2"))
    assert.same({ micros = 2000, currency = "EUR", version = first, exact = false }, (prices.cost("gpt-5.5", { input = 1000 })))
    assert.equal(operator.shipped().hash, publish(nil, true), "the first one followed what ships")
    assert.equal("USD", prices.cost("gpt-5.5", { input = 1000 }).currency)
    assert.equal(first, publish(priced_at("2")))
    local second = publish(priced_at("3"))
    assert.same({ 3000, second }, { prices.cost("gpt-5.5", { input = 1000 }).micros, prices.cost("gpt-5.5", { input = 1000 }).version })
    assert.equal(first, publish(nil, true))
    assert.same({ 2000, first }, { prices.cost("gpt-5.5", { input = 1000 }).micros, prices.cost("gpt-5.5", { input = 1000 }).version })
    local _, from = prices.plans()
    assert.equal(operator.shipped().hash, from, "what the published rules do not have")
  end)

  it("may be functions", function()
    publish{ { path = "prices.lua", data = 'return function() return { currency = "EUR", models = { ["*"] = { input = 1 + 1.5 } } } end' } }
    assert.equal(2500, prices.cost("x", { input = 1000 }).micros)
  end)

  it("that cannot be read leave the last ones in force", function()
    local before = prices.cost("x", { input = 1000 })
    local live = scripts.live
    scripts.live = function() error("the database is away", 0) end
    assert.same(before, (prices.cost("x", { input = 1000 })))
    scripts.live = live
  end)

  it("are refused with file and line when they make no sense, and nothing is stored", function()
    local version, err = scripts.upload(operator.tenant, priced_at("-1"), { actor = "us_op" })
    assert.is_nil(version)
    assert.same({ "prices.lua", 1 }, { err.problems[1].file, err.problems[1].line })
    assert.truthy(err.text:find("^prices.lua:1: "))
    assert.equal(4, db.query(db.platform(), "SELECT COUNT(*) AS n FROM bundle")[1].n)
  end)

  it("leave audit rows of the platform", function()
    local rows = db.query(db.platform(), "SELECT action, actor FROM audit_log WHERE action LIKE 'bundle.%' ORDER BY id")
    local actions = {}
    for i, row in ipairs(rows) do actions[i] = row.action end
    assert.same({ "bundle.uploaded", "bundle.published", "bundle.rolled_back", "bundle.published",
      "bundle.uploaded", "bundle.published", "bundle.rolled_back", "bundle.uploaded", "bundle.published" }, actions)
    assert.equal("us_op", rows[1].actor)
  end)
end)
