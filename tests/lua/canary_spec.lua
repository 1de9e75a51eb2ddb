-- SPDX-License-Identifier: Apache-2.0
--- Which calls a canary gets, when it has failed, and what keeps a version from going before callers. No I/O.
require "stand_in"
local rules = require "scripts.rules"

local in_host = not require("core.sql").stand_in

describe("a canary", function()
  -- The stand-in's hash is no hash.
  if not in_host then pending("draws calls: runs in the host") return end

  it("gets its share of the calls, within what chance allows", function()
    for _, share in ipairs{ 10, 100, 250, 500 } do
      local calls, taken = 20000, 0
      for i = 1, calls do
        if rules.takes_canary("c-n1-1-" .. i, share) then taken = taken + 1 end
      end
      local expected = calls * share / 1000
      local spread = math.sqrt(expected * (1 - share / 1000))
      assert.is_true(math.abs(taken - expected) < 4 * spread, ("%d of %d for %d thousandths"):format(taken, calls, share))
    end
  end)

  it("keeps a call that it has drawn, and keeps its calls when its share grows", function()
    for i = 1, 2000 do
      local id = "c-n1-1-" .. i
      local at_ten = rules.takes_canary(id, 100)
      assert.equal(at_ten, rules.takes_canary(id, 100))
      if at_ten then assert.is_true(rules.takes_canary(id, 300)) end
    end
  end)

  it("with no share gets no call", function()
    for i = 1, 1000 do assert.is_false(rules.takes_canary("c" .. i, 0)) end
  end)
end)

describe("a canary fails", function()
  local function fails(calls, failed) return rules.canary_fails{ calls = calls, failed = failed, min_calls = 20, error_limit = 50 } end

  it("not before it has had the calls it is judged by", function()
    assert.is_false(fails(19, 19))
    assert.is_true(fails(20, 20))
  end)

  it("when more than the limit of its calls fail, and not when it is just met", function()
    assert.is_false(fails(20, 1))
    assert.is_true(fails(20, 2))
    assert.is_false(fails(1000, 50))
    assert.is_true(fails(1000, 51))
  end)

  it("with the first call when nothing may fail", function()
    assert.is_true(rules.canary_fails{ calls = 1, failed = 1, min_calls = 1, error_limit = 0 })
    assert.is_false(rules.canary_fails{ calls = 1, failed = 0, min_calls = 1, error_limit = 0 })
  end)

  it("only by what its scripts do, not by what the platform cannot", function()
    assert.equal("failed", rules.blame("error"))
    assert.equal("failed", rules.blame("no_flow"))
    assert.equal("over_budget", rules.blame("cpu"))
    assert.equal("over_budget", rules.blame("memory"))
    for _, kind in ipairs{ "cell", "away", "internal", "something" } do assert.is_nil(rules.blame(kind)) end
    assert.is_nil(rules.blame(nil))
  end)
end)

describe("specs that fail", function()
  it("keep a version from going live, with the first place and all of them in the list", function()
    local problem = rules.specs_problem{ passed = 3, failed = 2, failures = {
      { file = "spec/a_spec.lua", line = 4, name = "a caller is greeted", text = "expected 'x'" }, { file = "spec/b_spec.lua", line = 9, name = "b", text = "no" } } }
    assert.equal("specs", problem.code)
    assert.matches("2 of 5 specs fail, first spec/a_spec%.lua:4: a caller is greeted: expected 'x'", problem.text)
    assert.same({ file = "spec/b_spec.lua", line = 9, text = "b: no" }, problem.problems[2])
  end)

  it("and those that pass, or are not there, do not", function()
    assert.is_nil(rules.specs_problem(nil))
    assert.is_nil(rules.specs_problem{ passed = 3, failed = 0, failures = {} })
  end)
end)
