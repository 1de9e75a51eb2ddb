-- SPDX-License-Identifier: Apache-2.0
--- How models are: when a breaker opens and closes, which keys rest, what the windows tell.
local health = require "ai.health"

local function world()
  local self = { now = 1000000, chance = 0.5 }
  self.health = health.new{ mono_ms = function() return self.now end, random = function() return self.chance end }
  return self
end

local model = { provider = "p", url = "https://p", model = "m", key_id = "k1", key = "secret" }
local other_key = { provider = "p", url = "https://p", model = "m", key_id = "k2", key = "other" }

local function try(at, target, class, more)
  local outcome = { class = class }
  for name, value in pairs(more or {}) do outcome[name] = value end
  at.health:began(target)
  at.health:ended(target, outcome)
end

local function opened(at)
  for _ = 1, 5 do try(at, model, "server") end
end

describe("a breaker", function()
  it("is closed at first", function()
    assert.is_true(world().health:allows(model))
  end)

  it("opens at five failures in a row", function()
    local at = world()
    for _ = 1, 4 do try(at, model, "server") end
    assert.is_true(at.health:allows(model))
    try(at, model, "timeout")
    local may, why, ms = at.health:allows(model)
    assert.same({ false, "breaker", 5000 }, { may, why, ms })
  end)

  it("opens when half of what was asked fails", function()
    local at = world()
    for i = 1, 10 do try(at, model, i % 2 == 0 and "overload" or nil) end
    assert.is_false(at.health:allows(model))
  end)

  it("stays closed at one failure in ten", function()
    local at = world()
    for i = 1, 1000 do try(at, model, i % 10 == 0 and "network" or nil) end
    assert.is_true(at.health:allows(model))
  end)

  it("forgets what was half a minute ago", function()
    local at = world()
    for _ = 1, 4 do try(at, model, "server") end
    for _ = 1, 4 do try(at, model, nil) end
    at.now = at.now + 33000
    assert.equal(0, at.health:error_share(model))
    for _ = 1, 3 do try(at, model, "server") end
    for _ = 1, 4 do try(at, model, nil) end
    assert.is_true(at.health:allows(model))
  end)

  it("counts nothing that was the request's own fault, or ours", function()
    local at = world()
    for _, class in ipairs{ "bad_request", "too_long", "refused", "not_found", "cancelled", "budget" } do
      for _ = 1, 20 do try(at, model, class) end
    end
    for _ = 1, 20 do try(at, model, "timeout", { cut = true }) end
    assert.is_true(at.health:allows(model))
    assert.equal(0, at.health:error_share(model))
  end)

  it("lets one probe through after its time, and no second one beside it", function()
    local at = world()
    opened(at)
    at.now = at.now + 5000
    assert.is_true(at.health:allows(model))
    at.health:began(model)
    assert.is_false(at.health:allows(model))
    at.health:ended(model, {})
    assert.is_true(at.health:allows(model))
    assert.equal("half_open", at.health:figures(model).state)
  end)

  it("closes after two good probes", function()
    local at = world()
    opened(at)
    at.now = at.now + 5000
    for _ = 1, 2 do
      assert.is_true(at.health:allows(model))
      try(at, model, nil)
    end
    assert.equal("closed", at.health:figures(model).state)
  end)

  it("opens for twice as long when a probe fails, up to a minute", function()
    local at, waits = world(), {}
    opened(at)
    for i = 1, 6 do
      local _, _, ms = at.health:allows(model)
      waits[i] = ms
      at.now = at.now + ms
      assert.is_true(at.health:allows(model))
      try(at, model, "server")
    end
    assert.same({ 5000, 10000, 20000, 40000, 60000, 60000 }, waits)
  end)

  it("is not kept shut by a probe that was cut off", function()
    local at = world()
    opened(at)
    at.now = at.now + 5000
    assert.is_true(at.health:allows(model))
    try(at, model, "cancelled", { cut = true })
    assert.is_true(at.health:allows(model))
  end)

  it("lets through nobody else while a probe that was taken waits to begin, nor when an older attempt ends", function()
    local at = world()
    at.health:began(model)
    opened(at)
    at.now = at.now + 5000
    assert.is_true(at.health:allows(model))
    local probe = at.health:claim(model)
    assert.is_false(at.health:allows(model))
    at.health:ended(model, { class = "cancelled", cut = true }, false)
    assert.is_false(at.health:allows(model))
    at.health:give_back(model, probe)
    assert.is_true(at.health:allows(model))
    local next_probe = at.health:claim(model)
    at.health:give_back(model, probe)
    assert.is_false(at.health:allows(model))
    at.now = at.now + 60000
    assert.is_true(at.health:allows(model))
    at.health:ended(model, {}, at.health:began(model, next_probe))
    assert.is_true(at.health:allows(model))
  end)

  it("is not kept shut by a probe of which nobody tells the end", function()
    local at = world()
    opened(at)
    at.now = at.now + 5000
    at.health:allows(model)
    at.health:began(model)
    at.now = at.now + 60000
    assert.is_true(at.health:allows(model))
  end)

  it("stays shut as long as the server asks", function()
    local at = world()
    try(at, model, "overload", { retry_after_s = 7 })
    local _, why, ms = at.health:allows(model)
    assert.same({ "breaker", 7000 }, { why, ms })
  end)

  it("of one tenant's own url does not shut another's", function()
    local at, hers = world(), { owner = "t1", provider = "p", url = "https://p", model = "m" }
    for _ = 1, 5 do try(at, hers, "network") end
    assert.is_false(at.health:allows(hers))
    assert.is_true(at.health:allows(model))
  end)
end)

describe("a key", function()
  it("that is refused rests, and the next key is asked", function()
    local at = world()
    try(at, model, "auth")
    assert.same({ false, "auth", 300000 }, { at.health:allows(model) })
    assert.is_true(at.health:allows(other_key))
  end)

  it("that was changed is asked at once", function()
    local at = world()
    try(at, model, "auth")
    assert.is_true(at.health:allows{ provider = "p", url = "https://p", model = "m", key_id = "k1", key = "new" })
  end)

  it("without credit rests for all models of it", function()
    local at = world()
    try(at, model, "quota")
    assert.is_false(at.health:allows{ provider = "p", url = "https://p", model = "m2", key_id = "k1", key = "secret" })
  end)

  it("that was too fast rests as long as was asked, else longer each time", function()
    local at = world()
    try(at, model, "rate", { retry_after_s = 12 })
    assert.same({ false, "rate", 12000 }, { at.health:allows(model) })
    at = world()
    local waits = {}
    for i = 1, 8 do
      try(at, model, "rate")
      local _, _, ms = at.health:allows(model)
      waits[i] = ms
    end
    assert.same({ 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 }, waits)
  end)

  it("does not rest for a month because a server says so", function()
    local at = world()
    try(at, model, "rate", { retry_after_s = 31 * 86400 })
    assert.same({ false, "rate", 600000 }, { at.health:allows(model) })
  end)
end)

describe("the windows", function()
  it("tell the latency that a share of answers keeps to", function()
    local at = world()
    for ms = 100, 2000, 100 do at.health:first_token(model, ms) end
    assert.equal(1000, at.health:latency_ms(model, 0.5))
    assert.equal(1900, at.health:latency_ms(model, 0.95))
    assert.is_nil(at.health:latency_ms(model, 0.95, 21))
    at.now = at.now + 300001
    assert.is_nil(at.health:latency_ms(model, 0.5))
  end)

  it("keep the last answers only", function()
    local at = world()
    for _ = 1, 64 do at.health:first_token(model, 5000) end
    for _ = 1, 64 do at.health:first_token(model, 100) end
    at.now = at.now + 1001
    assert.equal(100, at.health:latency_ms(model, 0.99))
  end)

  it("are kept for each region apart", function()
    local at = world()
    at.health:first_token({ provider = "p", model = "m", region = "eu" }, 100)
    assert.is_nil(at.health:latency_ms({ provider = "p", model = "m", region = "us" }, 0.5))
  end)
end)

describe("retries", function()
  it("are at most a fifth of what is asked, after the first few", function()
    local at, retries = world(), 0
    for _ = 1, 1000 do
      try(at, model, nil)
      if at.health:may_retry(model) then retries = retries + 1 end
    end
    assert.near(210, retries, 3)
  end)
end)

describe("what is kept", function()
  it("does not grow with every name that was ever asked", function()
    local at = world()
    for i = 1, 20000 do
      at.now = at.now + 1000
      try(at, { owner = "t", provider = "p" .. i, model = "m", key_id = "k" .. i }, nil)
    end
    local kept = 0
    for _ in pairs(at.health.backends) do kept = kept + 1 end
    assert.is_true(kept < 2500)
  end)
end)
