-- SPDX-License-Identifier: Apache-2.0
local quota = require "scripts.quota"

describe("a tenant's share of a worker", function()
  local last = 0
  local function tenant(per_second)
    last = last + 1
    return { id = "quota-" .. last, limits = { verbs_per_second = per_second } }
  end

  -- The longest wait of so many verbs, `per_second` of them for `seconds`.
  local function longest_wait(of, per_second, seconds, cost)
    local longest = 0
    for n = 0, per_second * seconds - 1 do longest = math.max(longest, (quota.take(of, cost or 1, 1000 + n * 1000 / per_second))) end
    return longest
  end

  it("is never met by 8,000 calls that ask every four seconds, nor when they are all taken up at once", function()
    local busy = { id = "quota-busy" }
    for _ = 1, 3 * 8000 do assert.equal(0, (quota.take(busy, 1, 1000))) end
    assert.equal(0, longest_wait(busy, 8000 / 4, 20))
  end)

  it("lets who asks for more wait until the share is met", function()
    local greedy = tenant(100)
    longest_wait(greedy, 1000, 10)
    -- 10,000 were asked for and 1,600 + 1,000 are paid for.
    assert.is_true(math.abs(quota.take(greedy, 1, 11000) - 74000) < 200)
  end)

  it("is each tenant's own", function()
    local greedy, other = tenant(100), tenant(100)
    for _ = 1, 5000 do quota.take(greedy, 1, 1000) end
    assert.equal(0, (quota.take(other, 1, 1000)))
  end)

  it("comes back with time, up to a full bucket", function()
    local some = tenant(100)
    for _ = 1, 1700 do quota.take(some, 1, 1000) end
    assert.equal(0, (quota.take(some, 1, 3000)))
    for _ = 1, 1600 do assert.equal(0, (quota.take(some, 1, 1e9))) end
    assert.equal(10, (quota.take(some, 1, 1e9)))
  end)

  it("is used up sooner by what costs more", function()
    local dear = tenant(100)
    for _ = 1, 160 do assert.equal(0, (quota.take(dear, 10, 1000))) end
    assert.equal(100, (quota.take(dear, 10, 1000)))
  end)

  it("is told of once a minute", function()
    local greedy, told = tenant(1), 0
    for second = 1, 150 do
      for _ = 1, 10 do
        local _, tell = quota.take(greedy, 1, second * 1000)
        if tell then told = told + 1 end
      end
    end
    assert.equal(3, told)
  end)

  it("takes no memory for tenants that have come and gone", function()
    collectgarbage()
    local before = collectgarbage("count")
    for n = 1, 50000 do quota.take({ id = "quota-gone-" .. n }, 1, n * 1000) end
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 1024)
  end)
end)
