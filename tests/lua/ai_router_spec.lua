-- SPDX-License-Identifier: Apache-2.0
--- The order in which models are asked.
local health = require "ai.health"
local router = require "ai.router"

local now_ms
local function now(more)
  local state = 1
  now_ms = 1000000
  local function random()
    state = (state * 16807) % 2147483647
    return state / 2147483647
  end
  local self = { request = { messages = {} }, tokens = 100, purpose = "call", random = random, cost = function(target) return target.cost end }
  self.health = health.new{ mono_ms = function() return now_ms end, random = random }
  for name, value in pairs(more or {}) do self[name] = value end
  return self
end

local function target(name, more)
  local made = { provider = name, model = "m", kind = "openai_chat", key_id = name }
  for field, value in pairs(more or {}) do made[field] = value end
  return made
end

local function names(list)
  local out = {}
  for i, t in ipairs(list) do out[i] = t.provider end
  return table.concat(out, " ")
end

local function order(targets, policy, at) return names((router.order(targets, policy, at or now()))) end

describe("the order of models", function()
  it("by quality has the best first", function()
    assert.equal("c b a", order({ target("a", { quality = 10 }), target("b"), target("c", { quality = 90 }) }, { order = "quality" }))
  end)

  it("by cost has the cheapest first, and what has no price last", function()
    assert.equal("b a c", order({ target("a", { cost = 20 }), target("b", { cost = 0 }), target("c") }, { order = "cost" }))
  end)

  it("by latency has the fastest first, and who fails behind who is slow", function()
    local at, a, b, c = now(), target "a", target "b", target "c"
    at.health:first_token(a, 900)
    at.health:first_token(b, 300)
    at.health:first_token(c, 100)
    for i = 1, 4 do
      at.health:began(c)
      at.health:ended(c, { class = i > 2 and "server" or nil })
    end
    assert.equal("b a c", order({ a, b, c }, { order = "latency" }, at))
  end)

  it("by latency asks once whom nobody has heard of lately", function()
    local at, a, b = now(), target "a", target "b"
    at.health:first_token(a, 300)
    assert.equal("b a", order({ a, b }, { order = "latency" }, at))
    at.health:first_token(b, 400)
    assert.equal("a b", order({ a, b }, { order = "latency" }, at))
  end)

  it("by weight follows the weights, however many keys a model has", function()
    local at, first = now(), {}
    local targets = { target("a", { weight = 3, key_id = "1" }), target("a", { weight = 3, key_id = "2" }), target("b", { weight = 1 }), target("c", { weight = 0 }) }
    for _ = 1, 4000 do
      local best = router.order(targets, { order = "weighted" }, at)[1].provider
      first[best] = (first[best] or 0) + 1
    end
    assert.near(3000, first.a, 150)
    assert.near(1000, first.b, 150)
    assert.is_nil(first.c)
  end)

  it("takes the keys of a model in turn", function()
    local at, first = now(), {}
    for _ = 1, 1000 do
      local key = router.order({ target("a", { key_id = "1" }), target("a", { key_id = "2" }) }, { order = "quality" }, at)[1].key_id
      first[key] = (first[key] or 0) + 1
    end
    assert.near(500, first["1"], 60)
  end)

  it("pinned has nobody else", function()
    local targets = { target("a", { quality = 99 }), target("b") }
    assert.equal("b", order(targets, { order = "pinned", pinned = "b/m" }))
    assert.equal("a b", order(targets, { order = "pinned", pinned = "m" }))
    local list, why = router.order(targets, { order = "pinned", pinned = "x/y" }, now())
    assert.equal(0, #list)
    assert.equal("the policy is pinned to 'x/y', which is not there", why)
  end)

  it("does not end with a flag that is no figure", function()
    assert.equal("b", order({ target("b", { flags = { context_tokens = "x" } }) }, { order = "quality" }))
  end)

  it("leaves out who cannot use tools, or has no room", function()
    local at = now{ request = { messages = {}, tools = { { name = "t" } }, max_tokens = 500 }, tokens = 800 }
    local targets = { target("a", { flags = { tools = false } }), target("b", { flags = { context_tokens = 1000 } }), target "c" }
    assert.equal("c", order(targets, { order = "quality" }, at))
    local list, why = router.order({ targets[1] }, { order = "quality" }, at)
    assert.equal(0, #list)
    assert.truthy(why:find("tools"))
  end)

  it("leaves out whose plugin is not there", function()
    assert.equal("b", order({ target("a", { kind = "no_such" }), target("b"), target("c", { kind = "../../etc" }) }, { order = "quality" }))
  end)

  it("says that nothing is set up", function()
    local list, why = router.order({}, { order = "cost" }, now())
    assert.equal(0, #list)
    assert.truthy(why:find("no model is set up"))
  end)
end)

describe("a tenant's routing.lua", function()
  local targets = { target("a", { quality = 90 }), target("b", { quality = 50, key_id = "1" }), target("b", { quality = 50, key_id = "2" }), target("c", { quality = 10 }) }

  it("names the models in its order, each with all its keys", function()
    local list = router.order(targets, { order = "quality" }, now{ ask = function() return { models = { "c/m", "b" } } end })
    assert.equal("c b b", names(list))
  end)

  it("may choose another policy", function()
    local priced = { target("a", { quality = 90, cost = 9 }), target("b", { quality = 50, cost = 1 }) }
    assert.equal("b a", order(priced, { order = "quality" }, now{ ask = function() return { policy = "cost" } end }))
  end)

  it("leaves the decision to the policy when it says nothing, or names nobody who is there", function()
    assert.equal("a b b c", order(targets, { order = "quality" }, now{ ask = function() return nil end }))
    assert.equal("a b b c", order(targets, { order = "quality" }, now{ ask = function() return { models = { "gone" } } end }))
  end)

  it("is told of each model once, with how it is", function()
    local told
    local at = now{ ask = function(input) told = input end }
    at.health:first_token(targets[1], 250)
    router.order(targets, { order = "quality" }, at)
    assert.equal(3, #told.models)
    assert.same({ name = "a/m", provider = "a", model = "m", quality = 90, weight = 1, p50_ms = 250, error_share = 0, state = "closed" }, told.models[1])
    assert.same({ "call", 100, 0, "quality" }, { told.purpose, told.tokens, told.tools, told.policy })
  end)
end)
