-- SPDX-License-Identifier: Apache-2.0
--- The calls of a worker, with Redis and the slots played here.
local Call = require "calls.call"
local config = require "core.config"
local record = require "calls.record"
local redis = require "core.redis"
local roster = require "calls.roster"
local telephony = require "core.telephony"

describe("the calls of a worker", function()
  local real, losses, away, gone, written
  local tenant = { id = 7, slug = "t", db = "t", key = ("k"):rep(32) }

  before_each(function()
    real = { slot = telephony.slot, set_calls = telephony.set_calls, losses = redis.losses, connected = redis.connected, write = record.write,
      write_all = record.write_all, exists = record.exists }
    losses, away, gone, written = redis.losses(), {}, {}, {}
    telephony.slot, telephony.set_calls = function(name) return { name = name } end, function() end
    redis.losses, redis.connected = function() return losses end, function() return true end
    record.write = function() return true end
    record.write_all = function(_, _, id) written[id] = (written[id] or 0) + 1 return true end
    record.exists = function(slot) if not away[slot] then return not gone[slot] end end
    roster.look()
  end)

  after_each(function()
    for name, fn in pairs(real) do
      local home = (name == "losses" or name == "connected") and redis or (name == "slot" or name == "set_calls") and telephony or record
      home[name] = fn
    end
  end)

  local function enlist(slot, id, channel)
    local call = Call.new{ id = id, tenant = tenant, slot = slot, channel = channel, fence = 5, direction = "inbound", row_id = 1 }
    roster.enlist(call)
    call:keep_head()
    return call
  end

  local function after_a_look()
    written = {}
    roster.look()
    return written
  end

  -- A look that ended at the first slot that could not be read missed all the others.
  it("are written again when Redis may have lost them, each slot by itself", function()
    local calls = {}
    for n = 1, 6 do calls[n] = enlist("n3." .. n, "c-n3-" .. n .. "-z", "3." .. n) end
    assert.same({}, after_a_look())
    losses = losses + 1
    local all = after_a_look()
    for n = 1, 6 do assert.equal(1, all[calls[n].id]) end
    assert.same({}, after_a_look())
    for n = 1, 6 do away["n3." .. n], gone["n3." .. n] = n ~= 5, true end
    after_a_look()
    assert.truthy(written["c-n3-5-z"])
    assert.is_nil(written["c-n3-4-z"])
    -- Whichever of a slot's calls is there stands for it, also when the one that did so has ended.
    local second = enlist("n3.1", "c-n3-1-second", "3.7")
    away["n3.1"] = nil
    calls[1]:lost()
    assert.truthy(after_a_look()["c-n3-1-second"])
    second:lost()
    assert.is_nil(after_a_look()["c-n3-1-second"])
    for n = 2, 6 do calls[n]:lost() end
  end)

  it("are found by id and channel until they leave, and then their slot is told", function()
    local before, left = roster.count(), 0
    roster.slot("n3.9").giving = function() left = left + 1 end
    local call = enlist("n3.9", "c-n3-9-z", "3.9")
    assert.equal(call, roster.find(call.id))
    assert.equal(call, roster.by_channel["3.9"])
    assert.equal(before + 1, roster.count())
    call:lost()
    assert.is_nil(roster.find(call.id))
    assert.is_nil(roster.by_channel["3.9"])
    assert.equal(before, roster.count())
    assert.equal(1, left)
    roster.slot("n3.9").giving = nil
  end)

  it("of a tenant are no more than it may have, those that are being made among them", function()
    local most = config.limits.calls_per_tenant
    config.limits.calls_per_tenant = 2
    local call, give = enlist("n3.8", "c-n3-8-z", "3.8"), roster.take_room(tenant)
    assert.same({ nil, "tenant_full" }, { roster.take_room(tenant) })
    give()
    give()  -- once is all it gives
    local again = roster.take_room(tenant)
    assert.truthy(again)
    assert.is_nil((roster.take_room(tenant)))
    call:lost()
    roster.take_room(tenant)()
    again()
    config.limits.calls_per_tenant = most
  end)

  it("say in their id which slot they are of", function()
    local id = roster.new_id("n3.12")
    assert.equal("n3.12", roster.slot_in(id))
    assert.is_nil(roster.slot_in("c-n3-x"))
    assert.is_nil(roster.slot_in(nil))
  end)
end)
