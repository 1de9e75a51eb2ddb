-- SPDX-License-Identifier: Apache-2.0
--- The copy of a call in Redis: whose write counts.
local record = require "calls.record"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local task = require "core.task"

local tenant = { id = 7, key = ("k"):rep(32) }

describe("a call's record", function()
  local id, made = nil, 0
  before_each(function()
    while not redis.call("PING") do task.sleep(10) end
    made = made + 1
    id = ("c-spec-%d-%d"):format(os.time(), made)
  end)

  it("is not written by who had the call before", function()
    assert.is_true(record.write(tenant, "spec.1", id, 8, { head = { a = 1 } }))
    local ok, err = record.write(tenant, "spec.1", id, 7, { head = { a = 2 } })
    assert.is_nil(ok)
    assert.equal("stale", err.code)
    assert.is_true(record.remove("spec.1", id, 8))
  end)

  it("is not made anew by an owner who was cut off while his successor ended the call", function()
    assert.is_true(record.write(tenant, "spec.1", id, 7, { head = { a = 1 } }))
    assert.is_true(record.write(tenant, "spec.1", id, 8, { head = { a = 1 } }))
    assert.is_true(record.remove("spec.1", id, 8))
    local ok, err = record.write(tenant, "spec.1", id, 7, { head = { a = 2 } })
    assert.is_nil(ok)
    assert.equal("stale", err.code)
    assert.equal(0, redis.call("EXISTS", rediskey("call:{spec.1}:", id)))
    ok, err = record.remove("spec.1", id, 7)  -- what he owed from before: it must not lower the fence
    assert.is_nil(ok)
    assert.equal("stale", err.code)
    assert.equal("8", redis.call("GET", rediskey("ended:{spec.1}:", id)))
    local left = redis.call("TTL", rediskey("ended:{spec.1}:", id))
    assert.is_true(left > 0 and left <= 300)
  end)

  local function there()
    return redis.call("EXISTS", rediskey("call:{spec.1}:", id)) + redis.call("SISMEMBER", rediskey("calls:{spec.1}"), id)
  end

  -- The write waited (its script was not known to the server), and its fence was not older than the removal's.
  it("is not made anew by its owner's own write that was slower than the removal", function()
    assert.is_true(record.write(tenant, "spec.1", id, 8, { head = { a = 1 } }))
    assert.is_true(record.remove("spec.1", id, 8))
    for _, write in ipairs{ "write", "write_all" } do
      local ok, err = record[write](tenant, "spec.1", id, 8, { digits = "1" }, write == "write_all" and 1 or nil)
      assert.is_nil(ok)
      assert.equal("ended", err.code)
    end
    assert.equal(0, there())
    assert.is_true(record.remove("spec.1", id, 8))  -- asked for again, because its answer was lost
    assert.is_true(record.clear("spec.1", id, 8))
    assert.equal("8", redis.call("GET", rediskey("ended:{spec.1}:", id)))
  end)

  it("is written by the call's next owner, whatever was removed before", function()
    assert.is_true(record.remove("spec.1", id, 8))
    assert.is_true(record.write(tenant, "spec.1", id, 9, { head = { a = 1 } }))
    local _, err = record.write(tenant, "spec.1", id, 8, { head = { a = 2 } })
    assert.equal("stale", err.code)
    assert.equal(2, there())
    assert.is_true(record.remove("spec.1", id, 9))
    _, err = record.write(tenant, "spec.1", id, 9, { head = { a = 3 } })
    assert.equal("ended", err.code)
    assert.equal(0, there())
  end)

  it("is written anew by who has cleared it, and not by who had the call before", function()
    assert.is_true(record.write(tenant, "spec.1", id, 8, { digits = "1" }))
    local _, err = record.clear("spec.1", id, 7)
    assert.equal("stale", err.code)
    assert.is_true(record.clear("spec.1", id, 9))
    assert.equal(0, there())
    -- 8 is the fence of whoever had the call until then: told that it had ended, he went on as if it were his.
    for _, older in ipairs{ 7, 8 } do
      _, err = record.write(tenant, "spec.1", id, older, { digits = "12" })
      assert.equal("stale", err.code)
    end
    assert.equal(0, there())
    assert.is_true(record.write(tenant, "spec.1", id, 9, { head = { a = 1 } }))
    assert.is_true(record.remove("spec.1", id, 9))
  end)
end)
