-- SPDX-License-Identifier: Apache-2.0
--- How a turn is taken, by policy and purpose; and vectors, which are all of one model.
local ai_world = require "ai_world"
local embed = require "ai.embed"
local embeddings = require "ai.compatible.embeddings"
local float32 = require "core.float32"
local health = require "ai.health"
local json = require "core.json"
local policy = require "ai.policy"
local promise = require "lib.promise"
local request_rules = require "ai.request"
local task = require "core.task"

describe("a policy", function()
  it("without a word of anybody fits its purpose: a caller waits in silence, a program does not", function()
    local call, api = policy.of(nil, { purpose = "call" }), policy.of(nil, {})
    assert.equal("api", api.purpose)
    assert.is_true(call.deadline_ms < api.deadline_ms)
    assert.is_true(call.degrade)
    assert.is_false(api.degrade)
    assert.equal("quality", call.order)
  end)

  it("is the tenant's, then its own for the purpose, then the request's", function()
    local stored = { order = "cost", attempts = 2, call = { order = "latency", deadline_ms = 4000 } }
    assert.equal("cost", policy.of(stored, { purpose = "api" }).order)
    local found = policy.of(stored, { purpose = "call" })
    assert.same({ "latency", 4000, 2 }, { found.order, found.deadline_ms, found.attempts })
    assert.equal("weighted", policy.of(stored, { purpose = "call", policy = "weighted" }).order)
    assert.equal(900, policy.of(stored, { purpose = "call", deadline_ms = 900 }).deadline_ms)
    local pinned = policy.of(stored, { pinned = { model = "m" } })
    assert.same({ "pinned", { model = "m" } }, { pinned.order, pinned.pinned })
  end)

  it("of which a part makes no sense is taken without that part", function()
    local found = policy.of({ order = "best", attempts = 1000, deadline_ms = "soon", first_token_ms = 0 / 0, hedge = "yes", going_on = -1, call = 7 }, { purpose = "call" })
    assert.same({ "quality", 10, 12000, 2500, true, 0 }, { found.order, found.attempts, found.deadline_ms, found.first_token_ms, found.hedge, found.going_on })
    assert.equal("quality", policy.of({ order = "pinned" }, {}).order)
    assert.equal("quality", policy.of("cheap", {}).order)
  end)

  it("asks a second model when the first is later than usual", function()
    local now = 1000000
    local known = health.new{ mono_ms = function() return now end, random = math.random }
    local target = ai_world.target "a"
    local call = policy.of(nil, { purpose = "call" })
    assert.equal(1000, policy.hedge_ms(call, known, target))
    for _ = 1, 20 do known:first_token(target, 400) end
    assert.equal(400, policy.hedge_ms(call, known, target))
    assert.is_nil(policy.hedge_ms(policy.of(nil, { purpose = "api" }), known, target))
    assert.equal(70, policy.hedge_ms(policy.of({ hedge = 70 }, { purpose = "api" }), known, target))
  end)
end)

describe("vectors", function()
  local A, B = ai_world.target "a", ai_world.target "b"
  local texts = {}
  for i = 1, 100 do texts[i] = "text " .. i end

  local function vectors(count, size)
    local data = json.array{}
    for i = 1, count do
      local vector = json.array{}
      for k = 1, size or 2 do vector[k] = i + k end
      data[i] = { index = i - 1, embedding = vector }
    end
    return { status = 200, steps = { { 1, json.encode{ data = data, model = "m", usage = { prompt_tokens = count, total_tokens = count } } } } }
  end

  local function take(world, targets, more)
    local options = { deadline = world.now + 5000, idle_ms = 1000, attempts = {}, enter = function() return function() end end }
    for name, value in pairs(more or {}) do options[name] = value end
    world.given.sleep = function(ms) world:pass(ms) end
    return world:run(function() return embed.run(world.given, targets, texts, options) end)
  end

  it("come in batches, in the order of the texts", function()
    local world = ai_world.new{ a = { vectors(96), vectors(4) } }
    local found = take(world, { A })
    assert.equal(100, #found.vectors)
    assert.same({ 97, 98 }, found.vectors[96])
    assert.same({ 2, 3 }, found.vectors[97])
    assert.equal(100, found.usage.input)
  end)

  it("are never of two models: one that fails half-way is left with all it gave", function()
    local world = ai_world.new{ a = { vectors(96), ai_world.fails(500) }, b = { vectors(96, 3), vectors(4, 3) } }
    local found = take(world, { A, B })
    assert.equal("m-b", found.model)
    for _, vector in ipairs(found.vectors) do assert.equal(3, #vector) end
  end)

  it("of another number than the texts are none", function()
    local world = ai_world.new{ a = { vectors(95) } }
    local found, err = take(world, { A })
    assert.is_nil(found)
    assert.equal("protocol", err.class)
  end)

  it("are not asked for twice when the request is wrong", function()
    local world = ai_world.new{ a = { ai_world.fails(400) }, b = { vectors(96) } }
    local found, err = take(world, { A, B })
    assert.is_nil(found)
    assert.equal("bad_request", err.class)
    assert.equal("a", world:order())
  end)

  it("for a caller who hung up were waited for, and asked of the next one", function()
    local world = ai_world.new{ a = { ai_world.late(3000, vectors(96)) }, b = { vectors(96) } }
    local cancel = promise.new()
    world:after(50, function() cancel:give() end)
    local found, err = take(world, { A, B }, { cancel = cancel })
    assert.is_nil(found)
    assert.equal("cancelled", err.class)
    assert.same({ "a" }, world.cancelled)
    assert.equal("a", world:order())
    found, err = take(world, { A, B }, { cancel = cancel })
    assert.is_nil(found)
    assert.equal("cancelled", err.class)
    assert.equal("a", world:order())
    assert.is_true(world.now < 1001000)
  end)

  it("of more numbers than a worker can hold were all asked for and paid", function()
    local few = texts
    texts = {}
    for i = 1, 2048 do texts[i] = "text " .. i end
    local world = ai_world.new{ a = { vectors(96, 2049) }, b = { vectors(96) } }
    local found, err = take(world, { A, B })
    texts = few
    assert.is_nil(found)
    assert.equal("bad_request", err.class)
    assert.equal("a", world:order())
    assert.equal(1, #world.asked)
  end)

  it("were written in one go, and nobody else was served for a second", function()
    local turns, over = 0, false
    task.spawn(function()
      while not over do
        turns = turns + 1
        task.sleep(0)
      end
    end)
    local list, vector = {}, {}
    for i = 1, 1024 do vector[i] = i / 7 end
    for i = 1, 64 do list[i] = vector end
    local rows = json.decode(embeddings.list(list, "base64"))
    over = true
    assert.is_true(turns >= 10, turns .. " turns")
    assert.equal(64, #rows)
    assert.same({ "embedding", 63, float32.base64(vector) }, { rows[64].object, rows[64].index, rows[64].embedding })
    rows = json.decode(embeddings.list({ { 0.5, 2 }, { 3 } }))
    assert.same({ 0.5, 2 }, { rows[1].embedding[1], rows[1].embedding[2] })
    assert.equal("[]", embeddings.list{})
  end)

  it("need a request of the usual kind only for chats", function()
    assert.is_nil((request_rules.check{ texts = texts }))
  end)
end)
