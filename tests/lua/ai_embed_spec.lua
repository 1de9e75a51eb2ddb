-- SPDX-License-Identifier: Apache-2.0
--- Vectors and the health of the models that make them, which chats share.
local ai_world = require "ai_world"
local embed = require "ai.embed"
local json = require "core.json"
local promise = require "lib.promise"
local task = require "core.task"

local A = ai_world.target "a"
local FAIR = { first_token_ms = 2000, idle_ms = 1500 }

local function vectors(count)
  local data = json.array{}
  for i = 1, count or 1 do data[i] = { index = i - 1, embedding = json.array{ i, 1 } } end
  return { status = 200, steps = { { 1, json.encode{ data = data, model = "m", usage = { prompt_tokens = 1, total_tokens = 1 } } } } }
end

local function options_of(world, more)
  local options = { deadline = world.now + 5000, idle_ms = 1500, attempts = {}, fair = FAIR, enter = function() return function() end end }
  for name, value in pairs(more or {}) do options[name] = value end
  world.given.sleep = function(ms) world:pass(ms) end
  return options
end

local function take(world, more, texts)
  return world:run(function() return embed.run(world.given, { A }, texts or { "a text" }, options_of(world, more)) end)
end

local function state(world)
  local figures = world.health:figures(A)
  return { figures.state, figures.failed }
end

describe("vectors", function()
  it("asked for by a tenant without patience closed a model for all others", function()
    local late = ai_world.new{ a = { ai_world.late(1 / 0, vectors()) } }
    for _ = 1, 6 do take(late, { deadline = late.now + 100 }) end
    assert.same({ "closed", 0 }, state(late))
    local stalled = { status = 200, steps = { { 1, "{" }, { "stall" } } }
    local silent = ai_world.new{ a = { stalled } }
    for _ = 1, 6 do take(silent, { idle_ms = 50 }) end
    assert.same({ "closed", 0 }, state(silent))
    assert.equal("timeout", select(2, take(silent, { idle_ms = 50 })).class)
  end)

  it("that do not come in the time that is fair count against their model", function()
    local late = ai_world.new{ a = { ai_world.late(1 / 0, vectors()) } }
    for _ = 1, 5 do take(late, { deadline = late.now + 3000 }) end
    assert.equal("open", state(late)[1])
    local silent = ai_world.new{ a = { { status = 200, steps = { { 1, "{" }, { "stall" } } } } }
    for _ = 1, 5 do take(silent) end
    assert.equal("open", state(silent)[1])
  end)

  local function half_open(answers)
    local world = ai_world.new{ a = answers }
    for _ = 1, 5 do
      world.health:began(A)
      world.health:ended(A, { class = "server" })
    end
    world:pass(10000)
    return world
  end

  it("asked for by many at once were all asked of a model that was just to be tried again", function()
    local world = half_open{ ai_world.late(200, vectors()) }
    local entered = 0
    local done, ended = promise.new(), 0
    local errors = {}
    local result = world:run(function()
      for i = 1, 10 do
        task.spawn(function()
          local _, err = embed.run(world.given, { A }, { "text " .. i }, options_of(world, { deadline = world.now + 300, enter = function()
            entered = entered + 1
            local wake = promise.new()
            world:after(50, function() wake:give() end)  -- a queue, in which others come by
            wake:wait()
            return function() end
          end }))
          errors[#errors + 1] = err and err.class
          ended = ended + 1
          if ended == 10 then done:give(true) end
        end)
      end
      return done:wait()
    end)
    assert.is_true(result)
    assert.equal(1, entered)
    assert.equal(1, #world.asked)
    assert.equal(9, #errors)
  end)

  it("that were not let in, or have no adapter, leave the trial of their model to the next", function()
    local world = half_open{ vectors() }
    take(world, { enter = function() return nil, { class = "budget", text = "spent" } end })
    take(world, { enter = function() error("away") end })
    assert.is_true(world.health:allows(A))
    assert.truthy(take(world))
    assert.equal(1, #world.asked)
    assert.is_true(world.health:allows(A))
  end)

  it("in several batches go on where their model was tried with the first", function()
    local texts = {}
    for i = 1, 100 do texts[i] = "text " .. i end
    local world = half_open{ vectors(96), vectors(4) }
    assert.equal(100, #take(world, nil, texts).vectors)
    assert.equal("closed", state(world)[1])
  end)
end)
