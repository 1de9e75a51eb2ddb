-- SPDX-License-Identifier: Apache-2.0
--- Limits of requests, tokens and requests at a time, with a real Redis and several workers: each is a copy of the modules with an
--- owner of its own.
require "stand_in"
local in_host = pcall(require, "core.process") and not require("core.sql").stand_in
if not in_host then
  describe("ai limits", function() pending("needs the host with Redis") end)
  return
end
local clock = require "core.clock"
local crypto = require "core.crypto"
local redis = require "core.redis"
local task = require "core.task"

local TENANT = { id = 1, slug = "acme" }
local modules = { "core.worker", "ai.permits", "ai.limits" }

local function worker_named(name)
  local before = {}
  for _, module in ipairs(modules) do before[module], package.loaded[module] = package.loaded[module], nil end
  package.loaded["core.worker"] = setmetatable({ owner = name }, { __index = before["core.worker"] })
  local made = require "ai.limits"
  for _, module in ipairs(modules) do package.loaded[module] = before[module] end
  return made
end

-- A target of a provider that no other spec has.
local function target(limits)
  limits.id = crypto.hex(crypto.random(6))
  return { provider = "main", limits = { provider = limits } }
end

local function take(limits, of, priority, wait_ms, tokens)
  return limits.take(TENANT, of, tokens or 10, priority or "call", clock.mono_ms() + (wait_ms or 0), {})
end

local function all_of(list) return function() return #list end end

local function eventually(what, expected, ms)
  local ends = clock.mono_ms() + ms
  while what() ~= expected and clock.mono_ms() < ends do task.sleep(10) end
  assert.equal(expected, what())
end

setup(function()
  local ends = clock.mono_ms() + 3000
  while not redis.connected() and clock.mono_ms() < ends do task.sleep(20) end
  assert(redis.connected())
end)

describe("without limits", function()
  it("everybody passes, and Redis is not asked", function()
    local limits = worker_named("w1")
    local call = redis.call
    redis.call = function() error("asked") end
    local release = take(limits, { provider = "main", limits = { provider = { id = 1 } } })
    redis.call = call
    release(5)
  end)
end)

describe("a limit of requests", function()
  it("lets ten seconds' worth through at once and says how long the next has to wait", function()
    local limits, of = worker_named("w1"), target{ requests_per_minute = 30 }
    for _ = 1, 5 do assert.is_function(take(limits, of)) end
    local release, err = take(limits, of)
    assert.is_nil(release)
    assert.same({ "rate", 2 }, { err.class, err.retry_after_s })
    assert.matches("the provider", err.text)
  end)

  it("is one for all workers", function()
    local one, two, of = worker_named("w1"), worker_named("w2"), target{ requests_per_minute = 60 }
    local passed = 0
    for i = 1, 20 do
      if take(i % 2 == 0 and one or two, of) then passed = passed + 1 end
    end
    assert.is_true(passed >= 10 and passed <= 11, passed)
  end)

  it("that is high is asked for many requests at once", function()
    local limits, of = worker_named("w1"), target{ requests_per_minute = 60000 }
    take(limits, of)
    local called = 0
    local bucket = require "ai.bucket"
    local taken = bucket.take
    bucket.take = function(self, ...)
      local before = self.requests
      local ok, ms = taken(self, ...)
      if self.requests > before then called = called + 1 end  -- it was filled up again
      return ok, ms
    end
    for _ = 1, 40 do assert.is_function(take(limits, of)) end
    bucket.take = taken
    assert.equal(0, called)
  end)

  it("keeps the last of itself for campaigns, and the very last for calls", function()
    local limits, of = worker_named("w1"), target{ requests_per_minute = 600 }
    local passed = { api = 0, campaign = 0, call = 0 }
    for _, priority in ipairs{ "api", "campaign", "call" } do
      while take(limits, of, priority) do passed[priority] = passed[priority] + 1 end
    end
    assert.is_true(passed.api >= 80 and passed.api <= 82, passed.api)
    assert.is_true(passed.campaign >= 9 and passed.campaign <= 12, passed.campaign)
    assert.is_true(passed.call >= 9 and passed.call <= 12, passed.call)
  end)

  it("that one waits for in time lets him through", function()
    local limits, of = worker_named("w1"), target{ requests_per_minute = 60 * 10 }
    while take(limits, of) do end
    local began = clock.mono_ms()
    assert.is_function(take(limits, of, "call", 2000))
    assert.is_true(clock.mono_ms() - began < 1000)
  end)
end)

describe("a limit of tokens", function()
  it("counts what was used, not what was asked for", function()
    local limits, of = worker_named("w1"), target{ tokens_per_minute = 6000 }  -- a thousand at once
    local release = take(limits, of, "call", 0, 900)
    assert.is_nil(take(limits, of, "call", 0, 900))
    release(50)
    assert.is_function(take(limits, of, "call", 0, 900))
  end)

  it("takes what a request needed more from the next one", function()
    local limits, of = worker_named("w1"), target{ tokens_per_minute = 6000 }
    take(limits, of, "call", 0, 100)(1000)
    assert.is_nil(take(limits, of, "call", 0, 500))
  end)

  it("lets a request through that is larger than the limit can ever be, when all of it is there", function()
    local limits, of = worker_named("w1"), target{ tokens_per_minute = 600 }
    assert.is_function(take(limits, of, "api", 0, 1e6))
    assert.is_nil(take(limits, of, "api", 0, 1))
  end)
end)

describe("a limit of requests at a time", function()
  it("holds over all workers, and what is released goes on", function()
    local one, two, of = worker_named("w1"), worker_named("w2"), target{ concurrent = 3 }
    local released = { take(one, of), take(one, of), take(two, of) }
    assert.equal(3, #released)
    assert.is_nil(take(two, of))
    assert.is_nil(take(one, of))
    released[1]()
    assert.is_function(take(one, of, "call", 1000))
  end)

  it("that one worker does not use is another's within a second", function()
    local one, two, of = worker_named("w1"), worker_named("w2"), target{ concurrent = 2 }
    take(one, of)()
    take(one, of)()
    local first = take(two, of, "call", 1500)
    assert.is_function(first)
    assert.is_function(take(two, of, "call", 1500))
  end)

  it("serves calls before campaigns before the API, each in the order they came", function()
    local limits, of = worker_named("w1"), target{ concurrent = 1 }
    local release, order = take(limits, of), {}
    for _, who in ipairs{ "api 1", "campaign 1", "api 2", "call 1", "campaign 2", "call 2" } do
      task.spawn(function()
        local mine = take(limits, of, who:match("^%a+"), 5000)
        order[#order + 1] = who
        task.sleep(5)
        mine()
      end)
    end
    task.sleep(20)
    assert.equal(0, #order)
    release()
    eventually(all_of(order), 6, 4000)
    assert.same({ "call 1", "call 2", "campaign 1", "campaign 2", "api 1", "api 2" }, order)
  end)

  it("gives up who has waited until his deadline, and the next goes on", function()
    local limits, of = worker_named("w1"), target{ concurrent = 1 }
    local release, got, gave_up = take(limits, of), {}, {}
    task.spawn(function()
      local _, err = take(limits, of, "call", 60)
      gave_up[1] = err.class
    end)
    task.spawn(function() got[1] = take(limits, of, "api", 3000) end)
    eventually(all_of(gave_up), 1, 1000)
    assert.equal("rate", gave_up[1])
    release()
    eventually(all_of(got), 1, 2000)
  end)

  it("is released once, however often it is said", function()
    local limits, of = worker_named("w1"), target{ concurrent = 2 }
    local release = take(limits, of)
    release()
    release()
    local a, b = take(limits, of), take(limits, of)
    assert.is_function(a)
    assert.is_function(b)
    assert.is_nil(take(limits, of))
  end)

  it("was refused while permits were free to requests of the same moment in one worker", function()
    local limits, of = worker_named("w1"), target{ concurrent = 10 }
    local passed, refused = {}, {}
    for _ = 1, 12 do
      task.spawn(function()
        local release = take(limits, of)
        table.insert(release and passed or refused, release or false)
      end)
    end
    eventually(function() return #passed + #refused end, 12, 2000)
    assert.same({ 10, 2 }, { #passed, #refused })
    for _, release in ipairs(passed) do release() end
  end)

  it("of a worker that died is free after some seconds", function()
    local limits, of = worker_named("w1"), target{ concurrent = 1 }
    local rediskey = require "lib.rediskey"
    redis.call("HSET", rediskey("ai:permits:{", "p" .. of.limits.provider.id, "}"), "dead", ("1 %d"):format(clock.wall_us() / 1000 + 300))
    assert.is_nil(take(limits, of))
    assert.is_function(take(limits, of, "call", 2000))
  end)
end)

describe("of two limits", function()
  it("the one that stands in the way is named, and the other is not used up by it", function()
    local limits = worker_named("w1")
    local of = { provider = "main", limits = { provider = { id = crypto.hex(crypto.random(6)), requests_per_minute = 60 },
      key = { id = crypto.hex(crypto.random(6)), concurrent = 1 } } }
    local release = take(limits, of)
    for _ = 1, 30 do
      local _, err = take(limits, of)
      assert.matches("the key", err.text)
    end
    release()
    assert.is_function(take(limits, of))
  end)
end)
