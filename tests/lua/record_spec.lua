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
end)
