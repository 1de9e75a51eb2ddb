-- SPDX-License-Identifier: Apache-2.0
--- A call that another worker has taken up from its record, in a real database and Redis: what who reads it sees of that.
local world = require "data_world"
if not world then
  describe("a call that is taken up", function() pending("needs the host and a database of its own") end)
  return
end
local audit = require "audit"
local Call = require "calls.call"
local clock = require "core.clock"
local db = require "lib.db"
local record = require "calls.record"
local redis = require "core.redis"
local roster = require "calls.roster"
local task = require "core.task"
local telephony = require "core.telephony"
local tenants = require "tenants"
local time = require "lib.time"

describe("a call that is taken up", function()
  local tenant, call
  local set_calls = telephony.set_calls

  teardown(function() telephony.set_calls = set_calls end)

  setup(function()
    telephony.set_calls = function() end
    world.begin{ "auth", "tenants", "calls", "agents" }
    tenant = tenants.create{ slug = "followed", name = "Followed", admin_email = "a@followed.example", admin_password = "a-Long-password" }
    world.token = world.login("a@followed.example", "a-Long-password")
    while not redis.call("PING") do task.sleep(10) end
    local id = "c-n1-1-taken"
    local row_id = audit.transaction(tenant, function(tx)
      return db.run(tx, "INSERT INTO `call` (public_id, direction, start_time, status, fence, node, slot, channel_id) VALUES (?, 'inbound', ?, 'connected', 5, 'n1', 'n1.1', ?)",
        id, time.now(), id).insert_id
    end)
    call = Call.new{ id = id, row_id = row_id, tenant = tenant, slot = "n1.1", node = "n1", fence = 5, channel = "1.9", direction = "inbound", from = "+12025550123", to = "+15550100",
      up = true, status = "connected", answered_us = clock.wall_us(), started_us = clock.wall_us() }
  end)

  local function shown()
    local status, body = world.ask("GET", "/calls/" .. call.id)
    assert.equal(200, status)
    return body
  end

  -- As it stands in the record by now, taken up from there.
  local function take_up()
    assert.is_true(call:keep_head())
    call:on_removed()
    call = Call.restore({ name = "n1.1", node = "n1" }, call.fence + 1, assert(record.read("n1.1", call.id, function() return tenant end)))
    roster.enlist(call)
    return clock.rfc3339(clock.wall_us())
  end

  it("shows the moments of it, while it is up and after its end", function()
    roster.enlist(call)
    assert.same({}, shown().takenUp)
    local before = clock.rfc3339(clock.wall_us())
    local first = take_up()
    task.sleep(5)
    local second = take_up()
    local moments = shown().takenUp
    assert.equal(2, #moments)
    assert.is_true(before <= moments[1] and moments[1] <= first and first < moments[2] and moments[2] <= second)
    call.gone_why, call.hangup_by = "hung up", "caller"
    call:close()
    assert.is_nil(roster.find(call.id))
    assert.same(moments, shown().takenUp)
  end)

  it("keeps a bounded number of them", function()
    local fields = { head = { id = call.id, visit = 0, taken_up = {} } }
    for i = 1, 200 do
      local of = Call.restore({ name = "n1.1", node = "n1" }, i, { tenant = tenant, fields = fields })
      fields.head.taken_up = of.taken_up
    end
    assert.equal(50, #fields.head.taken_up)
  end)
end)
