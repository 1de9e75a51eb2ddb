-- SPDX-License-Identifier: Apache-2.0
--- How what a recogniser listens to is paid for: minute by minute, with an account that is played here.
local fallback = require "speech.fallback"
local log = require "core.log"
local minutes = require "speech.minutes"
local task = require "core.task"

-- An account that lets so many uses begin, and notes what came of each.
local function account_of(most)
  local own = { began = 0, asked = 0, ended = {} }
  function own:begin()
    self.asked = self.asked + 1
    if self.began >= most then return nil, { class = "budget", text = "spent", ours = true } end
    self.began = self.began + 1
    return {
      done = function(_, units, failure) self.ended[#self.ended + 1] = { units and units.seconds or false, failure and failure.class } end,
      pass = function() end,
      drop = function() self.ended[#self.ended + 1] = { "dropped" } end,
    }
  end
  return own
end

local function try_of(own) return { owner = { account = own }, target = {} } end

describe("the minutes of a recogniser", function()
  it("are each a use, and the last is what is left", function()
    local own, refused = account_of(99), nil
    local paid = minutes.begin(try_of(own), function(failure) refused = failure end)
    for _ = 1, 130 do
      paid:heard(1)
      task.sleep(0)
    end
    paid:over(nil)
    assert.is_nil(refused)
    assert.same({ { 60 }, { 60 }, { 10 } }, own.ended)
    assert.equal(3, own.began)
  end)

  -- A session of hours was asked of the budget once, at its beginning.
  it("end with the budget, within a minute", function()
    local own, refused = account_of(1), nil
    local paid = minutes.begin(try_of(own), function(failure) refused = failure end)
    for _ = 1, 49 do paid:heard(1) end
    task.sleep(1)
    assert.is_nil(refused)
    paid:heard(1)
    task.sleep(1)
    assert.equal("budget", refused.class)
    paid:over(refused)
    assert.same({ { 50, "budget" } }, own.ended)
  end)

  -- Each piece of sound after it asked the budget again.
  it("that were refused are not asked for again", function()
    local own, refused = account_of(1), 0
    local paid = minutes.begin(try_of(own), function() refused = refused + 1 end)
    for _ = 1, 58 do
      paid:heard(1)
      task.sleep(0)
    end
    assert.same({ 1, 2 }, { refused, own.asked })
  end)

  -- It was taken for one that is still asked, and the call went on unpaid for as long as it lasted.
  it("end where asking for the next one breaks", function()
    local own, refused = account_of(99), nil
    local paid = minutes.begin(try_of(own), function(failure) refused = failure end)
    function own.begin() error("the database is away", 0) end
    local say = log.error
    log.error = function() end
    paid:heard(55)
    task.sleep(1)
    log.error = say
    assert.same({ "server", true }, { refused.class, refused.ours })
    paid:over(refused)
    assert.same({ { 55, "server" } }, own.ended)
  end)

  it("that were asked for and not begun are given back", function()
    local own = account_of(99)
    local paid = minutes.begin(try_of(own), function() end)
    paid:heard(55)
    task.sleep(1)
    paid:over(nil)
    assert.same({ { "dropped" }, { 55 } }, own.ended)
    assert.equal(2, own.began)
  end)

  it("of a connection that was refused are nothing", function()
    local own = account_of(99)
    minutes.begin(try_of(own), function() end):over{ class = "auth" }
    assert.same({ { false, "auth" } }, own.ended)
  end)
end)

describe("a use", function()
  -- What was held of the budget for a text that the caller had interrupted stayed held.
  it("that was cancelled while its budget was asked is given back", function()
    local own = account_of(9)
    local try = try_of(own)
    try.over = true
    local entered, failure = fallback.enter(try, {})
    assert.is_nil(entered)
    assert.is_true(failure.cut)
    assert.same({ { "dropped" } }, own.ended)
  end)

  it("that we refused is no fault of the provider's", function()
    local told
    local world = { mono_ms = function() return 0 end, health = { allows = function() return true end, claim = function() end, began = function() end,
      ended = function(_, _, outcome) told = outcome end } }
    local way = fallback.new(world, { { provider = "p", kind = "piper" } }, function() return {} end, nil, account_of(0))
    local try = fallback.next(way)
    local _, failure = fallback.enter(try, {})
    fallback.ended(try, failure)
    assert.same({ cut = true }, told)
    assert.equal("budget", fallback.last(way, "synthesiser").class)
  end)
end)
